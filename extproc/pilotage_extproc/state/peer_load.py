"""What the other pickers have in flight and whose requests wait at them, as they last told.

The figures are as old as the way of a message: an interval between two (`server/load_sharing.py`) and its
delivery. Of a picker that has told nothing for a while only the number is known.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.domain.clock import Clock, monotonic
from pilotage_extproc.state.endpoints import EndpointTable

SILENT_SECONDS: Final = 1.0
"""A picker that has told nothing for so long is one of which nothing is known."""


@dataclass(slots=True, frozen=True)
class Demand:
    """Who waits at one picker for a pool, of the highest priority that does."""

    priority: int
    minimum_share: float
    """Of the turns, where those that wait elsewhere have a higher priority."""
    weights: Mapping[str, float]
    """By tenant."""

    def beside(self, other: "Demand") -> "Demand":
        """Both together: the higher priority, or all of the same."""
        if self.priority != other.priority:
            return max(self, other, key=lambda one: one.priority)
        minimum = max(self.minimum_share, other.minimum_share)
        return Demand(self.priority, minimum, {**other.weights, **self.weights})


@dataclass(slots=True)
class _Told:
    """By one picker."""

    at: float
    counts: NDArray[np.float64]
    waiting: Mapping[str, Demand] = field(default_factory=dict)


class PeerLoad:
    """By row of the endpoint table, what this process's peers have there; empty without any."""

    def __init__(self, table: EndpointTable, clock: Clock = monotonic) -> None:
        self._table = table
        self._clock = clock
        self._pickers: Callable[[], int] = lambda: 1
        self._told: dict[str, _Told] = {}
        self._generation: NDArray[np.int64] = np.zeros(0, np.int64)
        self._there: NDArray[np.float64] = np.zeros(0)
        """Requests of all others in flight."""
        self._at_scrape: NDArray[np.float64] = np.zeros(0)
        """The same when the row was last scraped."""
        self._known_of_us: NDArray[np.float64] = np.zeros(0)
        """Own requests in flight that all others know of by now, and we of theirs of that time."""
        self._just_told: NDArray[np.float64] = np.zeros(0)
        self._own_waiting: Mapping[str, Demand] = {}

    def meet(self, pickers: Callable[[], int]) -> None:
        """So many processes decide for these servers, this one included."""
        self._pickers = pickers

    def others(self) -> int:
        """Other processes that decide."""
        return max(0, self._pickers() - 1)

    def hear(
        self,
        process: str,
        servers: Mapping[str, int],
        waiting: Mapping[str, Demand],
        *,
        everything: bool,
    ) -> None:
        """A picker tells what it has in flight by address, or what of that has changed, and who waits."""
        self._fit()
        told = self._told.get(process)
        if told is None:
            told = self._told[process] = _Told(self._clock(), np.zeros(len(self._there)))
            everything = True
        told.at, told.waiting = self._clock(), waiting
        rows = self._table.rows()
        wanted = {row: float(count) for at, count in servers.items() if (row := rows.get(at)) is not None}
        if everything:
            wanted = {**dict.fromkeys(np.flatnonzero(told.counts).tolist(), 0.0), **wanted}
        for row, count in wanted.items():
            self._begin_anew(row)
            self._there[row] += count - told.counts[row]
            told.counts[row] = count

    def scraped(self, row: int) -> None:
        """The engine's own figures have been read: what others had there then is in them."""
        if self._told:
            self._fit()
            self._begin_anew(row)
            self._at_scrape[row] = self._there[row]

    def telling(self, own_waiting: Mapping[str, Demand]) -> None:
        """All others are being told what is in flight now, and who waits.

        What was told before is known to all from now on, and what they had then to us.
        """
        self._fit()
        self._known_of_us = self._just_told
        self._just_told = self._table.inflight.copy()
        self._own_waiting = own_waiting
        self._forget_silent()

    def since_scrape(self, rows: NDArray[np.intp]) -> NDArray[np.float64] | float:
        """What others have sent to servers since their last scrape, less what has ended of theirs.

        Own requests that they cannot know of yet count once for each: they see the same figures and do
        alike. Of a silent one that is all since the scrape.
        """
        others = self.others()
        if not others:
            return 0.0
        table = self._table
        if not self._told:
            return others * table.unseen[rows]
        self._fit()
        current = self._generation[rows] == table.generation[rows]
        changed = np.where(current, self._there[rows] - self._at_scrape[rows], 0.0)
        untold = np.maximum(table.inflight[rows] - self._known_of_us[rows], 0.0)
        silent = max(0, others - len(self._told))
        added: NDArray[np.float64] = changed + min(others, len(self._told)) * untold
        return added + silent * table.unseen[rows]

    def inflight(self, rows: NDArray[np.intp]) -> NDArray[np.float64] | float:
        """Requests of others at servers."""
        if not self._told:
            return 0.0
        self._fit()
        return np.where(self._generation[rows] == self._table.generation[rows], self._there[rows], 0.0)

    def waiting(self, pools: Collection[str]) -> dict[str, Demand]:
        """Who waits for any of some pools at other pickers, by process."""
        return {
            process: demand
            for process, told in self._told.items()
            if (demand := _of(told.waiting, pools)) is not None
        }

    def own_waiting(self, pools: Collection[str]) -> Demand | None:
        """Who waits here, as the others know it."""
        return _of(self._own_waiting, pools)

    def of_idle(self, rows: NDArray[np.intp], waiting: Collection[str]) -> float:
        """Requests at servers of those others at which nobody waits."""
        self._fit()
        return float(
            sum(told.counts[rows].sum() for process, told in self._told.items() if process not in waiting)
        )

    def _forget_silent(self) -> None:
        now = self._clock()
        for process in [one for one, told in self._told.items() if now - told.at > SILENT_SECONDS]:
            self._there -= self._told.pop(process).counts
            self._at_scrape = self._there.copy()  # what it had there is in the figures of the engines

    def _begin_anew(self, row: int) -> None:
        """Another server may have the row now."""
        generation = self._table.generation[row]
        if self._generation[row] != generation:
            self._generation[row] = generation
            self._there[row] = self._at_scrape[row] = 0.0
            for told in self._told.values():
                told.counts[row] = 0.0

    def _fit(self) -> None:
        more = self._table.capacity - len(self._there)
        if more:
            none = np.zeros(more)
            self._there = np.concatenate([self._there, none])
            self._at_scrape = np.concatenate([self._at_scrape, none])
            self._known_of_us = np.concatenate([self._known_of_us, none])
            self._just_told = np.concatenate([self._just_told, none])
            self._generation = np.concatenate([self._generation, np.full(more, -1, np.int64)])
            for told in self._told.values():
                told.counts = np.concatenate([told.counts, none])


def _of(waiting: Mapping[str, Demand], pools: Collection[str]) -> Demand | None:
    """Of all these pools together."""
    found = [waiting[pool] for pool in pools if pool in waiting]
    return reduce(Demand.beside, found) if found else None
