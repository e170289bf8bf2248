"""What would have changed a choice: the smallest change of one weight, price, load or feature that flips it.

Worth is linear in each of these, so each change is solved for, against every place that could have been
chosen; sizes are compared as shares of what is changed (a feature's, from -1 to 1, as it is). A price is of
all servers and output budgets of a model in its pool, a load is of all that its server serves: what such a
change moves alike it does not flip.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.scheduling.chooser import HELD_BY_GAIN
from pilotage_extproc.scheduling.objective_choice import Choice

_GREATEST: Final = 1e6
"""What only a greater change would flip, as a share, differs by rounding alone."""
_LEAST_LEFT: Final = 1e-6
"""Share of a weight or price that must be left: without it places may be alike, and neither is chosen."""


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


class _Tables(NamedTuple):
    """The terms of all places, [budget, candidate]."""

    quality: NDArray[np.float64]
    usd: NDArray[np.float64]
    seconds: NDArray[np.float64]
    worth: NDArray[np.float64]
    offered: NDArray[np.bool_]
    lead: NDArray[np.float64]
    """How much more the pick is worth."""


class _Change(NamedTuple):
    """One kind of change: what would choose each place."""

    what: str
    of: str
    unit: str
    before: NDArray[np.float64]
    after: NDArray[np.float64]
    size: NDArray[np.float64]
    possible: NDArray[np.bool_]


def terms_of(choice: Choice, worth: float, place: Place) -> Terms:
    """In their units."""
    quality = float(choice.quality[place.level, choice.objective.way_of[place.candidate]])
    usd, seconds = choice.usd(place.level)[place.candidate], choice.seconds(place.level)[place.candidate]
    return Terms(quality, float(usd), float(seconds), worth)


def flips(choice: Choice, pick: Place, offered: NDArray[np.bool_]) -> list[Flip]:
    """Changes that would choose another place, the smallest first; one of each kind.

    `offered`, [budget, candidate], says which places could have been chosen.
    """
    worth, levels = choice.worth(), range(len(choice.budgets))
    tables = _Tables(
        choice.quality.take(choice.objective.way_of, axis=1),
        np.stack([choice.usd(level) for level in levels]),
        np.stack([choice.seconds(level) for level in levels]),
        worth,
        offered & np.isfinite(worth),
        worth[pick] - worth,
    )
    found = []
    with np.errstate(divide="ignore", invalid="ignore"):
        for change in _changes(choice, pick, tables):
            size = np.where(tables.offered & change.possible & (change.size < _GREATEST), change.size, np.inf)
            other = Place(*map(int, np.unravel_index(int(size.argmin()), size.shape)))
            if np.isfinite(size[other]):
                before, after = (
                    float(np.broadcast_to(one, size.shape)[other]) for one in (change.before, change.after)
                )
                found.append(
                    Flip(change.what, change.of, before, after, change.unit, float(size[other]), other)
                )
    return sorted(found, key=lambda flip: flip.size)


def _changes(choice: Choice, pick: Place, tables: _Tables) -> Iterator[_Change]:
    own, lead = choice.objective, tables.lead
    behind = lead > 0
    if choice.held == HELD_BY_GAIN and own.minimum_gain:
        least = np.asarray(own.minimum_gain)
        yield _Change("minimumGain", "", "share", least, -lead, (least + lead) / least, lead < 0)
    by_term = {
        "quality": (own.quality_weight, tables.quality[pick] - tables.quality),
        "cost": (own.cost_weight, (tables.usd - tables.usd[pick]) / own.usd),
        "latency": (own.latency_weight, (tables.seconds - tables.seconds[pick]) / own.seconds),
    }
    for name, (weight, gap) in by_term.items():
        if weight:
            after = weight - lead / gap
            possible, before = behind & (after > weight * _LEAST_LEFT), np.asarray(weight)
            yield _Change(f"weights.{name}", "", "share", before, after, np.abs(after / weight - 1), possible)
    if own.cost_weight:
        yield from _by_price(choice, pick, tables, own.cost_weight / own.usd)
    if own.latency_weight:
        yield from _by_load(choice, pick, tables, own.latency_weight / own.seconds)
    yield from _by_gain(choice, pick, tables)


def _by_price(choice: Choice, pick: Place, tables: _Tables, scale: float) -> Iterator[_Change]:
    """Prices of a model in a pool, all by one share."""
    way_of, lead, mine = choice.objective.way_of, tables.lead, tables.usd[pick]
    same = way_of == way_of[pick.candidate]
    share = lead / (scale * (mine - np.where(same, tables.usd, 0.0)))
    possible = (lead > 0) & (share > _LEAST_LEFT - 1)
    yield _Change("price", "pick", "usd", mine, mine * (1 + share), np.abs(share), possible)
    share = lead / (scale * tables.usd)
    possible = (lead > 0) & (share < 1) & ~same
    yield _Change("price", "other", "usd", tables.usd, tables.usd * (1 - share), share, possible)


def _by_load(choice: Choice, pick: Place, tables: _Tables, scale: float) -> Iterator[_Change]:
    """Seconds that all answers of a server take longer, or less long; where times are known at all.

    A pick that another server is level with was taken by chance: whatever load would flip it.
    """
    own, seconds = choice.objective, tables.seconds
    servers = own.rows
    others = servers != servers[pick.candidate]
    elsewhere, level = others & (tables.lead > 0), others & tables.offered & (tables.lead <= 0)
    timed = choice.timed[0].take(own.way_of)
    change = tables.lead / scale
    if timed[pick.candidate] and not level.any():
        mine = seconds[pick]
        yield _Change("load", "pick", "seconds", mine, mine + change, change / mine, elsewhere)
    possible = elsewhere & timed & (change < seconds) & _best_of_server(tables, servers)
    yield _Change("load", "other", "seconds", seconds, seconds - change, change / seconds, possible)


def _best_of_server(tables: _Tables, servers: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Which places are worth most of all at their server: they are the first that less load would choose."""
    worth = np.where(tables.offered, tables.worth, -np.inf)
    known, at = np.unique(servers, return_inverse=True)
    most = np.full(len(known), -np.inf)
    np.maximum.at(most, at, worth.max(axis=0))
    found: NDArray[np.bool_] = worth == most[at]
    return found


def _by_gain(choice: Choice, pick: Place, tables: _Tables) -> Iterator[_Change]:
    """The prompt's expected gain, as far as it moves quality without meeting 0 or 1."""
    own, gain = choice.objective, choice.asked.gain
    if own.pair is None or gain is None or not gain.confidence or not own.quality_weight:
        return
    half = {own.pair[0]: -0.5, own.pair[1]: 0.5}
    of_way = np.array([gain.confidence * half.get(way.tier, 0.0) for way in own.ways])
    moves = of_way.take(own.way_of)
    mine = moves[pick.candidate]
    change = -tables.lead / (own.quality_weight * (mine - moves))
    after = gain.value + change
    possible = (tables.lead > 0) & (np.abs(after) <= 1)
    for quality, moved in ((tables.quality, moves), (tables.quality[pick], mine)):
        then = quality + moved * change
        possible = possible & (quality > 0) & (quality < 1) & (then > 0) & (then < 1)
    yield _Change("prompt.strongGain", "", "quality", np.asarray(gain.value), after, np.abs(change), possible)
