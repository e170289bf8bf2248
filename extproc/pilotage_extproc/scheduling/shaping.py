"""The list of attempts of a rule with a fallback: which models stand in it, and in what order.

A model is passed over for a reason that is known before anything is sent. One that could serve all the
same (it is full, or fails) comes after all others; one that cannot serve the request is left out, unless
nothing else remains. Models of the fallback come in where a reason leads there, and never for another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pilotage_api.fallback import AT_ATTEMPT, AT_DECISION, FallbackReason
from pilotage_api.snapshot import FallbackSnapshot
from pilotage_extproc.scheduling.abilities import NO_ABILITIES, Abilities
from pilotage_extproc.scheduling.candidate_view import CandidateView
from pilotage_extproc.scheduling.candidates import CandidateSet
from pilotage_extproc.scheduling.filters import NotSaturated, at_work

_ROOM: Final = NotSaturated()
_OF_REQUEST: Final = frozenset(
    {FallbackReason.BUDGET, FallbackReason.CAPABILITY, FallbackReason.CONTEXT_OVERFLOW}
)
_ONLY_UNSENT: Final = frozenset({FallbackReason.CONNECT})
"""A request that no server has got may always be sent to the next."""


@dataclass(slots=True, frozen=True)
class Fallback:
    """What a rule says of its fallback."""

    own_tiers: int
    """Tiers of the rule's candidates; those behind them are the fallback's."""
    at_decision: frozenset[FallbackReason]
    """Reasons that pass a model over before anything is sent."""
    at_attempt: frozenset[FallbackReason]
    """Reasons that lead from a failed attempt to the next. With none the fallback's models stand in no list
    that begins with a candidate."""
    abilities: Abilities = NO_ABILITIES
    """What is known of the candidates' models."""
    of_request: frozenset[FallbackReason] = field(init=False)
    """Those at the decision that are told by what a request asks for, not by the servers."""
    leads_on: frozenset[FallbackReason] | None = field(init=False)
    """All failures that lead from an attempt to the next; None is the gateway's usual ones."""

    def __post_init__(self) -> None:
        """What requests ask for again and again is made once."""
        object.__setattr__(self, "of_request", self.at_decision & _OF_REQUEST)
        object.__setattr__(self, "leads_on", self.at_attempt | _ONLY_UNSENT if self.at_attempt else None)


def fallback_of(snapshot: FallbackSnapshot, own_tiers: int, abilities: Abilities) -> Fallback:
    """The fallback of a rule with so many candidates of its own."""
    reasons = frozenset(map(FallbackReason, snapshot.reasons))
    return Fallback(own_tiers, reasons & AT_DECISION, reasons & AT_ATTEMPT, abilities)


def spread_of(tiers: int) -> Fallback:
    """Of a rule whose requests wait for room at any of its models, with no fallback."""
    return Fallback(tiers, frozenset({FallbackReason.SATURATED}), frozenset())


class Shape(NamedTuple):
    """What shapes one request's list."""

    fallback: Fallback
    misfits: Mapping[FallbackReason, NDArray[np.bool_]]
    """By reason: True where a candidate cannot serve this request."""


class PassedOver(NamedTuple):
    """A model that does not stand where its rule has it."""

    tier: int
    reason: FallbackReason
    left_out: bool
    """Whether it is not in the list at all."""


class Shaped(NamedTuple):
    """The tiers of a list, in order, and who of them is in it."""

    tiers: list[int]
    alive: NDArray[np.bool_] | None
    """None is all."""
    passed_over: tuple[PassedOver, ...]


def shaped(
    view: CandidateView, alive: NDArray[np.bool_] | None, shape: Shape, tier_order: Sequence[int] | None
) -> Shaped:
    """The tiers of a request's list. `alive` are the candidates that the filters left; None is all.

    `tier_order` is that of the rule's own candidates; None is as they are written.
    """
    fallback = shape.fallback
    if alive is None and _all_serve(view, shape):
        own = list(range(fallback.own_tiers) if tier_order is None else tier_order)
        if fallback.leads_on is not None:
            own += range(fallback.own_tiers, view.candidates.tier_count)
        return Shaped(own, None, ())
    if alive is None:
        alive = np.ones(len(view), np.bool_)
    fits = _fitting(alive, shape)
    causes = _causes(view, alive, fits, shape)
    own = list(range(fallback.own_tiers) if tier_order is None else tier_order)
    spare = list(range(fallback.own_tiers, view.candidates.tier_count))
    if not _leads_on(fallback, [causes[tier] for tier in own]):
        spare = []
    inside = [tier for tier in (*own, *spare) if fits[view.candidates.tiers == tier].any()]
    first = [tier for tier in inside if causes[tier] is None]
    last = [tier for tier in inside if causes[tier] is not None]
    passed = [
        PassedOver(tier, cause, left_out=tier not in inside)
        for tier in (*own, *spare)
        if (cause := causes[tier]) is not None
    ]
    return Shaped(first + last, fits, tuple(passed))


def _all_serve(view: CandidateView, shape: Shape) -> bool:
    """Whether no reason passes any of the models over: so it is for most requests.

    The filters have dropped nobody: all have room, and no breaker is open. Some that fail they may keep.
    """
    if shape.misfits or not all(map(len, view.candidates.tier_members)):
        return False
    if not view.table.ejections or FallbackReason.UNHEALTHY not in shape.fallback.at_decision:
        return True
    works = at_work(view)
    return works is None or bool(works.all())


def _fitting(alive: NDArray[np.bool_], shape: Shape) -> NDArray[np.bool_]:
    """Those that can serve the request; all that are alive where none can: the engine says so itself."""
    fits = alive
    for misfit in shape.misfits.values():
        fits = fits & ~misfit
    return fits if fits.any() else alive


def _causes(
    view: CandidateView, alive: NDArray[np.bool_], fits: NDArray[np.bool_], shape: Shape
) -> list[FallbackReason | None]:
    """By tier: the listed reason to pass it over, or `unavailable`, listed or not; None where it serves."""
    reasons, tiers = shape.fallback.at_decision, view.candidates.tiers
    works = at_work(view) if FallbackReason.UNHEALTHY in reasons else None
    room = _ROOM.keep(view) if FallbackReason.SATURATED in reasons else None
    causes: list[FallbackReason | None] = []
    for tier in range(view.candidates.tier_count):
        members = tiers == tier
        left = members & fits
        cause = None
        if not (members & alive).any():
            cause = FallbackReason.UNAVAILABLE
        elif not left.any():
            cause = _misfit_of(members & alive, shape)
        elif works is not None and not (works & left).any():
            cause = FallbackReason.UNHEALTHY
        elif room is not None and not (room & left).any():
            cause = FallbackReason.SATURATED
        causes.append(cause)
    return causes


def _misfit_of(members: NDArray[np.bool_], shape: Shape) -> FallbackReason:
    """Why none of them can serve the request."""
    return next(
        (reason for reason, misfit in shape.misfits.items() if misfit[members].all()),
        next(iter(shape.misfits)),
    )


def _leads_on(fallback: Fallback, own: Sequence[FallbackReason | None]) -> bool:
    """Whether the fallback's models stand in the list, by what keeps the rule's own from serving."""
    if None in own:
        return bool(fallback.at_attempt)
    return any(cause in fallback.at_decision for cause in own)


def compared(
    tiers: Sequence[int], passed_over: Sequence[PassedOver], own_tiers: int
) -> tuple[list[int], list[int]]:
    """Tiers of a list that an objective compares with each other, and those that come after them."""
    passed = {one.tier for one in passed_over}
    first = [tier for tier in tiers if tier < own_tiers and tier not in passed] or list(tiers[:1])
    return first, [tier for tier in tiers if tier not in first]


def with_later(
    order: Sequence[int],
    later: Sequence[int],
    candidates: CandidateSet,
    alive: NDArray[np.bool_],
    total: NDArray[np.float64],
) -> list[int]:
    """An order of candidates, and behind it the best of each later tier."""
    kept = list(order)
    taken = {int(candidates.rows[index]) for index in kept}
    for tier in later:
        members = np.flatnonzero(alive & (candidates.tiers == tier))
        for index in members[total[members].argsort()[::-1]].tolist():
            row = int(candidates.rows[index])
            if row not in taken:
                taken.add(row)
                kept.append(index)
                break
    return kept
