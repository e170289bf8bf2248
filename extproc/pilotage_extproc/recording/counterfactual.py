"""What would have changed a choice: the smallest change of one weight, price, load or feature that flips it.

Worth is linear in each of these, so each change is solved for; sizes are compared as shares of what is
changed (a feature's, from -1 to 1, as it is).
"""

from collections.abc import Iterator
from typing import NamedTuple

from pilotage_extproc.scheduling.chooser import HELD_BY_GAIN
from pilotage_extproc.scheduling.objective_choice import Choice


class Place(NamedTuple):
    """One candidate with one budget."""

    level: int
    candidate: int


class Terms(NamedTuple):
    """What a candidate's worth is made of."""

    quality: float
    usd: float
    seconds: float
    worth: float


class Flip(NamedTuple):
    """One change, and what would be chosen then."""

    what: str
    """`weights.cost`, `price`, `load`, `prompt.strongGain`, `minimumGain`."""
    of: str
    """`pick` or `other`: whose price or load changes; empty for the rest."""
    before: float
    after: float
    unit: str
    size: float
    """As a share of what is changed."""
    other: Place


def terms_of(choice: Choice, worth: float, place: Place) -> Terms:
    """In their units."""
    quality = float(choice.quality[place.level, choice.objective.way_of[place.candidate]])
    usd, seconds = choice.usd(place.level)[place.candidate], choice.seconds(place.level)[place.candidate]
    return Terms(quality, float(usd), float(seconds), worth)


def flips(choice: Choice, pick: Place, others: list[Place]) -> list[Flip]:
    """Changes that would choose one of the others, the smallest first; one of each kind."""
    worth = choice.worth()
    mine = terms_of(choice, float(worth[pick]), pick)
    found: dict[tuple[str, str], Flip] = {}
    for other in others:
        theirs = terms_of(choice, float(worth[other]), other)
        for flip in _between(choice, pick, mine, other, theirs):
            best = found.get((flip.what, flip.of))
            if best is None or flip.size < best.size:
                found[flip.what, flip.of] = flip
    return sorted(found.values(), key=lambda flip: flip.size)


def _between(choice: Choice, pick: Place, mine: Terms, other: Place, theirs: Terms) -> Iterator[Flip]:
    own, lead = choice.objective, mine.worth - theirs.worth
    if choice.held == HELD_BY_GAIN and lead < 0 and own.minimum_gain:
        change = (own.minimum_gain + lead) / own.minimum_gain
        yield Flip("minimumGain", "", own.minimum_gain, -lead, "share", change, other)
    if lead <= 0:
        return
    by_term = {
        "quality": (own.quality_weight, mine.quality - theirs.quality),
        "cost": (own.cost_weight, (theirs.usd - mine.usd) / own.usd),
        "latency": (own.latency_weight, (theirs.seconds - mine.seconds) / own.seconds),
    }
    for name, (weight, gap) in by_term.items():
        if weight and gap:
            after = weight - lead / gap
            if after >= 0:
                yield Flip(f"weights.{name}", "", weight, after, "share", abs(after / weight - 1), other)
    for what, unit, scale, before, theirs_before in (
        ("price", "usd", own.cost_weight / own.usd, mine.usd, theirs.usd),
        ("load", "seconds", own.latency_weight / own.seconds, mine.seconds, theirs.seconds),
    ):
        if scale and before > 0:
            yield Flip(what, "pick", before, before + lead / scale, unit, lead / scale / before, other)
        if scale and theirs_before > lead / scale:
            after = theirs_before - lead / scale
            yield Flip(what, "other", theirs_before, after, unit, lead / scale / theirs_before, other)
    yield from _by_gain(choice, pick, mine, other, theirs)


def _by_gain(choice: Choice, pick: Place, mine: Terms, other: Place, theirs: Terms) -> Iterator[Flip]:
    """The prompt's expected gain, as far as it moves quality without meeting 0 or 1."""
    own, gain = choice.objective, choice.asked.gain
    if own.pair is None or gain is None or not gain.confidence or not own.quality_weight:
        return
    half = {own.pair[0]: -0.5, own.pair[1]: 0.5}
    tiers = [own.ways[int(own.way_of[place.candidate])].tier for place in (pick, other)]
    moves = [gain.confidence * half.get(tier, 0.0) for tier in tiers]
    slope = own.quality_weight * (moves[0] - moves[1])
    if not slope:
        return
    change = (theirs.worth - mine.worth) / slope
    before = (mine.quality, theirs.quality)
    after = [quality + move * change for quality, move in zip(before, moves, strict=True)]
    if -1 <= gain.value + change <= 1 and all(0 < quality < 1 for quality in (*before, *after)):
        yield Flip("prompt.strongGain", "", gain.value, gain.value + change, "quality", abs(change), other)
