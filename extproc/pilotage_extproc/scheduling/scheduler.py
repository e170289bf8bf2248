"""Filter, score, pick: from a candidate table to an ordered list of attempts."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.domain.features import NO_FEATURES, RequestFeatures
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.reach import Reach
from pilotage_extproc.scheduling.candidate_view import CandidateView
from pilotage_extproc.scheduling.candidates import CandidateSet, Knowledge
from pilotage_extproc.scheduling.filters import all_full, all_stay
from pilotage_extproc.scheduling.plugins import PluginSkipped
from pilotage_extproc.scheduling.profile import Profile
from pilotage_extproc.scheduling.shaping import PassedOver, Shape, shaped
from pilotage_extproc.scheduling.standing import Scores, Standings
from pilotage_extproc.state.endpoints import EndpointTable

log = logging.getLogger(__name__)

_FEW: Final = 64
"""Candidates."""
Members = TypeVar("Members")


@dataclass(slots=True)
class Ranking:
    """What a decision was made of; kept as columns, formatted only when someone asks."""

    order: list[int]
    """Candidate indices, best first; each address at most once."""
    total: NDArray[np.float64]
    """Weighted score of every candidate, 0 (worst) to 1."""
    terms: NDArray[np.float64]
    """One row a scorer of the profile, in its unit; NaN in the rows of skipped ones."""
    dropped: dict[str, NDArray[np.bool_]]
    """By filter reason: True where a candidate was dropped by it."""
    scraped_at: NDArray[np.float64]
    """When each candidate's figures were scraped, monotonic seconds; -inf is never."""
    skipped: tuple[str, ...]
    """`step: why` of steps that did not count for this decision."""
    cached_tokens: float
    """Of the prompt, probably in the first one's prefix cache."""
    passed_over: tuple[PassedOver, ...] = ()
    """Models that do not stand where their rule has them."""


class Scheduler:
    """Runs profiles over the endpoint table."""

    def __init__(self, table: EndpointTable, knowledge: Knowledge) -> None:
        self.table = table
        self.knowledge = knowledge
        self._standings = Standings()

    def full(self, candidates: CandidateSet) -> bool:
        """Whether there is no room for one more request anywhere, as the pools define it."""
        return all_full(candidates, self.table)

    def rank(
        self,
        candidates: CandidateSet,
        profile: Profile,
        *,
        request: RequestFeatures = NO_FEATURES,
        subset: tuple[str, ...] | None,
        limit: int,
        tier_order: Sequence[int] | None,
        now: float,
        reach: Reach = Reach.SERVERS,
        call: CallKind = CallKind.OTHER,
        shape: Shape | None = None,
    ) -> Ranking:
        """Order the best `limit` candidates.

        `tier_order` says which tier comes first (weighted rules draw it per request); None is
        0, 1, 2 …. A tier comes before the next, but where several have survivors each later one
        keeps a place at the end of the list, so that a model that fails everywhere has a fallback.
        Within a tier own servers come before hosted providers, which keep a place in the same way.
        With `shape` the rule has a fallback: `limit` is raised until each model of the list has a place.
        """
        allowed = None if subset is None else frozenset(subset)
        view = CandidateView(candidates, self.table, self.knowledge, request, allowed, now, reach, call)
        skipped = list(profile.missing)
        alive, dropped = filtered(view, profile, skipped)
        terms, total, scraped_at = self._scored(view, profile, skipped)
        hosted = self.table.needs[candidates.rows] > 0 if self.table.hosted_rows else None
        passed_over: tuple[PassedOver, ...] = ()
        if shape is not None:
            tier_order, alive, passed_over = shaped(view, alive, shape, tier_order)
            limit = max(limit, len(tier_order))
        if candidates.tier_count == 1 and not (
            hosted is not None or candidates.rows_repeat or profile.plugin_picker
        ):
            members = candidates.all if alive is None else alive.nonzero()[0]
            order: list[int] = profile.picker.order(total, members, limit).tolist()[:limit]
        else:
            order = _Order(candidates, profile, total, limit, skipped, hosted).of(alive, tier_order)
        cached = 0.0
        if order and request.prompt is not None:
            cached = view.cached_at(order[0]) / request.bytes_per_token
        return Ranking(order, total, terms, dropped, scraped_at, tuple(skipped), cached, passed_over)

    def _scored(self, view: CandidateView, profile: Profile, skipped: list[str]) -> Scores:
        """As `scored`, with what stands from the requests before."""
        try:
            scores = self._standings.scored(view, profile)
            if scores is not None:
                return scores
        except Exception:
            log.exception("what stands could not be used: each scorer is asked anew")
        return Scores(*scored(view, profile, skipped), view.scraped_at)


def filtered(
    view: CandidateView, profile: Profile, skipped: list[str]
) -> tuple[NDArray[np.bool_] | None, dict[str, NDArray[np.bool_]]]:
    """Who survives (None is all), and who was dropped by what."""
    dropped: dict[str, NDArray[np.bool_]] = {}
    alive: NDArray[np.bool_] | None = None
    for one in () if all_stay(view) else profile.filters:
        keep = one.keep(view)
        if keep is not None:
            alive = _narrowed(view, alive, keep, one.reason, one.soft, dropped)
    for plugin in profile.plugin_filters:
        try:
            keep = plugin.keep(view)
        except PluginSkipped as why:
            skipped.append(f"{plugin.name}: {why}")
            continue
        if keep is not None:
            alive = _narrowed(view, alive, keep, plugin.reason, plugin.soft, dropped)
    return alive, dropped


def _narrowed(
    view: CandidateView,
    alive: NDArray[np.bool_] | None,
    keep: NDArray[np.bool_],
    reason: str,
    soft: bool,
    dropped: dict[str, NDArray[np.bool_]],
) -> NDArray[np.bool_] | None:
    if keep.all():
        return alive
    if soft:
        keep = keep.copy()
        for tier in range(view.candidates.tier_count):
            members = view.candidates.tiers == tier
            of_tier = members if alive is None else members & alive
            if not (keep & of_tier).any():
                keep |= members
    dropped[reason] = ~keep
    return keep if alive is None else alive & keep


def scored(
    view: CandidateView, profile: Profile, skipped: list[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each scorer's column, and the weighted sum of what they are worth."""
    scorers = profile.scorers
    terms = np.empty((len(scorers), len(view)))
    weights = profile.weights
    for index, weighted in enumerate(scorers):
        try:
            column = weighted.scorer.score(view)
            terms[index] = 0.0 if column is None else column
        except Exception as error:
            if not isinstance(error, PluginSkipped):
                log.exception("a scorer failed and was skipped", extra={"scorer": weighted.scorer.name})
                error = PluginSkipped(f"raised {type(error).__name__}")
            skipped.append(f"{weighted.scorer.name}: {error}")
            terms[index] = np.nan
            weights = _without(weights, index)
    numerators = profile.numerators if weights is profile.weights else weights * profile.halves
    if profile.may_be_unknown or numerators is not profile.numerators:
        return terms, weighted_worth(worst_for_unknown(terms), profile.halves, numerators)
    return terms, weighted_worth(terms, profile.halves, numerators)


def weighted_worth(
    terms: NDArray[np.float64], halves: NDArray[np.float64], numerators: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Turn lower-is-better measures into 0 to 1 and add them up by weight.

    `numerators` are weight times half. A measure is worth 1 at zero, one half at its `half`, and ever
    less beyond. Unlike a min-max over the candidates, a value's worth does not depend on the others,
    and a small difference under heavy load is a near-tie while the same difference at no load is not.
    """
    worth = halves + terms
    np.divide(numerators, worth, out=worth)
    total: NDArray[np.float64] = np.add.reduce(worth)
    return total


def _without(weights: NDArray[np.float64], index: int) -> NDArray[np.float64]:
    left = weights.copy()
    left[index] = 0.0
    return left / left.sum() if left.sum() > 0 else left


def worst_for_unknown(terms: NDArray[np.float64]) -> NDArray[np.float64]:
    """NaN becomes the worst known of its row, or 0 where nothing is known."""
    known = np.where(np.isnan(terms), -np.inf, terms)
    worst = known.max(axis=1, keepdims=True, initial=0.0)
    return np.where(np.isnan(terms), worst, terms)


class _Order:
    """Puts the survivors in order, tier by tier, each endpoint once."""

    def __init__(
        self,
        candidates: CandidateSet,
        profile: Profile,
        total: NDArray[np.float64],
        limit: int,
        skipped: list[str],
        hosted: NDArray[np.bool_] | None,
    ) -> None:
        self._hosted = hosted
        self._candidates = candidates
        self._profile = profile
        self._total = total
        self._limit = limit
        self._skipped = skipped

    def of(self, alive: NDArray[np.bool_] | None, tier_order: Sequence[int] | None) -> list[int]:
        """Candidate indices, best first."""
        candidates = self._candidates
        if candidates.tier_count == 1:
            members = candidates.all if alive is None else alive.nonzero()[0]
            return self._of_tier(members, self._limit, set())
        wanted = range(candidates.tier_count) if tier_order is None else tier_order
        if len(candidates) <= _FEW and self._hosted is None and self._profile.plugin_picker is None:
            ranked = self._ranked_by_tier(alive)
            return self._shared_out([ranked[tier] for tier in wanted if ranked[tier]], self._first)
        members_of = candidates.tier_members
        tiers = [
            found
            for tier in wanted
            if len(found := members_of[tier] if alive is None else members_of[tier][alive[members_of[tier]]])
        ]
        return self._shared_out(tiers, self._of_tier)

    def _shared_out(
        self, tiers: Sequence[Members], best: Callable[[Members, int, set[int]], list[int]]
    ) -> list[int]:
        """The best of each tier, which each keep a place."""
        order: list[int] = []
        taken: set[int] = set()
        for position, members in enumerate(tiers):
            later = min(len(tiers) - position - 1, self._limit - len(order) - 1)
            room = self._limit - len(order) - max(later, 0)
            if room > 0:
                order += best(members, room, taken)
        return order

    def _ranked_by_tier(self, alive: NDArray[np.bool_] | None) -> list[list[int]]:
        """All members of each tier, best first: of few, one order of all takes less than one a tier."""
        candidates = self._candidates
        members = candidates.all if alive is None else alive.nonzero()[0]
        found: list[list[int]] = [[] for _ in range(candidates.tier_count)]
        tiers = candidates.tiers.tolist()
        for index in self._ordered(members, len(members)):
            found[tiers[index]].append(index)
        return found

    def _of_tier(self, members: NDArray[np.intp], limit: int, taken: set[int]) -> list[int]:
        """The best of a tier: own servers, and then providers, of which one keeps the last place."""
        if self._hosted is None:
            return self._best(members, limit, taken)
        hosted = self._hosted[members]
        own, others = members[~hosted], members[hosted]
        if not len(own) or not len(others):
            return self._best(members, limit, taken)
        order = self._best(own, max(limit - 1, 1), taken)
        return order + self._best(others, limit - len(order), taken) if len(order) < limit else order

    def _best(self, members: NDArray[np.intp], limit: int, taken: set[int]) -> list[int]:
        """The best of `members`, each row at most once and none of `taken` (which grows)."""
        if not self._candidates.rows_repeat:
            return self._ordered(members, limit)[:limit]
        spare = min(len(members), limit + len(taken) + len(members) // 8)  # rows that repeat are few
        return self._first(self._ordered(members, spare), limit, taken)

    def _first(self, ordered: list[int], limit: int, taken: set[int]) -> list[int]:
        order: list[int] = []
        rows = self._candidates.rows
        for index in ordered:
            row = int(rows[index])
            if row not in taken:
                taken.add(row)
                order.append(index)
                if len(order) == limit:
                    break
        return order

    def _ordered(self, members: NDArray[np.intp], limit: int) -> list[int]:
        plugin, order = self._profile.plugin_picker, None
        if plugin is not None:
            try:
                order = plugin.order(self._total, members, limit)
            except PluginSkipped as why:
                self._skipped.append(f"{plugin.name}: {why}")
        if order is None:
            order = self._profile.picker.order(self._total, members, limit)
        indices: list[int] = order.tolist()
        return indices
