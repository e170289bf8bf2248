"""Filter, score, pick: from a candidate table to an ordered list of attempts."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.scheduling.candidates import CandidateSet, CandidateView
from pilotage_extproc.scheduling.contract import Filter, Weighted
from pilotage_extproc.scheduling.filters import Admitted, InSubset
from pilotage_extproc.scheduling.scorers import InFlight, QueueDepth
from pilotage_extproc.state.endpoints import EndpointTable

log = logging.getLogger(__name__)

NEAR_TIE = 0.005
"""Scores (0 to 1) closer than this are decided by chance, the better one more often."""


@dataclass(slots=True)
class Ranking:
    """What a decision was made of; kept as columns, formatted only when someone asks."""

    order: list[int]
    """Candidate indices, best first; each address at most once."""
    total: NDArray[np.float64]
    """Weighted score of every candidate, 0 (worst) to 1."""
    terms: dict[str, NDArray[np.float64]]
    """Each scorer's column, in its unit."""
    dropped: dict[str, NDArray[np.bool_]]
    """By filter reason: True where a candidate was dropped by it."""
    scraped_at: NDArray[np.float64]
    """When each candidate's figures were scraped, monotonic seconds; -inf is never."""
    skipped: tuple[str, ...]
    """Scorers that failed for this decision and did not count."""


class Scheduler:
    """One profile: filters, weighted scorers, and a picker that breaks near-ties by chance."""

    def __init__(
        self,
        table: EndpointTable,
        *,
        stale_after_seconds: float,
        filters: Sequence[Filter] | None = None,
        scorers: Sequence[Weighted] | None = None,
        seed: int | None = None,
    ) -> None:
        self._table = table
        self._stale_after_seconds = stale_after_seconds
        self._filters = tuple(filters) if filters is not None else (Admitted(), InSubset())
        self._scorers = tuple(scorers) if scorers is not None else default_scorers()
        self._weight_sum = sum(weighted.weight for weighted in self._scorers)
        self._random = np.random.default_rng(seed)

    @property
    def scorers(self) -> tuple[Weighted, ...]:
        """The profile's scorers and weights."""
        return self._scorers

    def rank(
        self,
        candidates: CandidateSet,
        *,
        subset: tuple[str, ...] | None,
        limit: int,
        tier_order: Sequence[int] | None,
        now: float,
    ) -> Ranking:
        """Order the best `limit` candidates.

        `tier_order` says which tier comes first (weighted rules draw it per request); None is
        0, 1, 2 …. A tier comes before the next, but where several have survivors each later one
        keeps a place at the end of the list, so that a model that fails everywhere has a fallback.
        """
        view = self._view(candidates, subset, now)
        dropped: dict[str, NDArray[np.bool_]] = {}
        alive: NDArray[np.bool_] | None = None
        for one in self._filters:
            keep = one.keep(view)
            if keep is not None:
                dropped[one.reason] = ~keep
                alive = keep if alive is None else alive & keep
        terms, total, skipped = self._score(view)
        order = self._pick(candidates, alive, total, limit, tier_order)
        return Ranking(order, total, terms, dropped, view.scraped_at, skipped)

    def _view(self, candidates: CandidateSet, subset: tuple[str, ...] | None, now: float) -> CandidateView:
        scraped_at = self._table.scraped_at[candidates.rows]
        return CandidateView(
            candidates=candidates,
            table=self._table,
            subset=None if subset is None else frozenset(subset),
            now=now,
            scraped_at=scraped_at,
            fresh=scraped_at >= now - self._stale_after_seconds,
        )

    def _score(
        self, view: CandidateView
    ) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.float64], tuple[str, ...]]:
        terms: dict[str, NDArray[np.float64]] = {}
        skipped: list[str] = []
        total: NDArray[np.float64] | None = None
        weight_sum = self._weight_sum
        for weighted in self._scorers:
            scorer = weighted.scorer
            try:
                column = scorer.score(view)
            except Exception:
                log.exception("a scorer failed and was skipped", extra={"scorer": scorer.name})
                skipped.append(scorer.name)
                weight_sum -= weighted.weight
                continue
            terms[scorer.name] = column
            part = worth(column, scorer.half) * weighted.weight
            total = part if total is None else total + part
        if total is None:
            total = np.zeros(len(view.candidates))
        else:
            total /= weight_sum
        return terms, total, tuple(skipped)

    def _pick(
        self,
        candidates: CandidateSet,
        alive: NDArray[np.bool_] | None,
        total: NDArray[np.float64],
        limit: int,
        tier_order: Sequence[int] | None,
    ) -> list[int]:
        chance = total + self._random.random(len(total)) * NEAR_TIE
        if candidates.tier_count == 1:
            members = np.arange(len(candidates)) if alive is None else alive.nonzero()[0]
            return self._best(candidates, members, chance, limit, set())
        if alive is None:
            alive = np.ones(len(candidates), np.bool_)
        tiers = [
            found
            for tier in (tier_order if tier_order is not None else range(candidates.tier_count))
            if len(found := np.flatnonzero(alive & (candidates.tiers == tier)))
        ]
        order: list[int] = []
        taken: set[int] = set()
        for position, members in enumerate(tiers):
            later = min(len(tiers) - position - 1, limit - len(order) - 1)
            room = limit - len(order) - max(later, 0)
            if room > 0:
                order += self._best(candidates, members, chance, room, taken)
        return order

    @staticmethod
    def _best(
        candidates: CandidateSet,
        members: NDArray[np.intp],
        chance: NDArray[np.float64],
        limit: int,
        taken: set[int],
    ) -> list[int]:
        """The best of `members`, each row at most once and none of `taken` (which grows)."""
        spare = limit + len(taken) + len(members) // 8  # rows that repeat are few
        if len(members) > 64 and spare < len(members):
            members = members[np.argpartition(-chance[members], spare)[: spare + 1]]
        order: list[int] = []
        rows = candidates.rows
        for index in members[chance[members].argsort()[::-1]].tolist():
            row = int(rows[index])
            if row not in taken:
                taken.add(row)
                order.append(index)
                if len(order) == limit:
                    break
        return order


def worth(column: NDArray[np.float64], half: float) -> NDArray[np.float64]:
    """Turn a lower-is-better measure into 0 to 1: 1 at zero, one half at `half`, falling towards 0.

    Unlike a min-max over the candidates, a value's worth does not depend on the others, and a small
    difference under heavy load is a near-tie while the same difference at no load is not.
    """
    worst = column.max(initial=0.0)
    if worst != worst:  # noqa: PLR0124 - NaN differs from itself, and a column with one has it as maximum
        column = np.where(np.isnan(column), np.nanmax(column, initial=0.0), column)
    return half / (half + column)


def default_scorers() -> tuple[Weighted, ...]:
    """The default profile: a queued request counts like one that runs.

    With a heavier queue one scrape that met a full queue keeps an endpoint empty until the next scrape,
    while the others fill up: own requests must be able to outweigh a figure that grows old.
    """
    return (Weighted(QueueDepth(), 1.0), Weighted(InFlight(), 1.0))
