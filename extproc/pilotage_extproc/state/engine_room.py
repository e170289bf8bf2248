"""How many more requests each engine can take before it queues: learned from what it reports.

No engine says how many requests it runs at once: that depends on its settings and on how much of its KV
cache they take. It shows it when it queues: what it runs then is what it can run. Until an engine has been
seen queuing, its bound is doubled from what it runs, scrape by scrape, as TCP's slow start does, so that a
new engine is not filled blindly.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.state.endpoints import EndpointTable
from pilotage_extproc.state.peer_load import PeerLoad

FIRST_RUNNING: Final = 8.0
"""What an engine of which nothing is known is taken to run at once."""


class EngineRoom:
    """What engines run at most, by row of the endpoint table."""

    def __init__(self, table: EndpointTable, peers: PeerLoad) -> None:
        self._table = table
        self._peers = peers
        self._most: NDArray[np.float64] = np.zeros(0)
        """Requests that the engine runs at once."""
        self._before: NDArray[np.float64] = np.zeros(0)
        """What it ran at the scrape before, where it queued then; else -1."""
        self._known: NDArray[np.bool_] = np.zeros(0, np.bool_)
        """Whether it has been seen queuing."""
        self._generation: NDArray[np.int64] = np.zeros(0, np.int64)

    def scraped(self, row: int) -> None:
        """An engine's figures are in the table: learn from them."""
        self._fit()
        self._peers.scraped(row)
        table = self._table
        running, waiting = float(table.running[row]), float(table.waiting[row])
        if self._generation[row] != table.generation[row]:
            self._generation[row] = table.generation[row]
            self._most[row], self._before[row], self._known[row] = FIRST_RUNNING, -1.0, False
        most = float(self._most[row])
        if waiting > 0:
            before = float(self._before[row])
            if 0 < running <= before:
                # queued for a whole interval without taking more in. Just once says nothing: a burst that
                # has arrived and not been looked at is queued too
                most, self._known[row] = running, True
            self._before[row] = running
        else:
            self._before[row] = -1.0
            if not self._known[row]:
                most = max(most, 2 * running)
        self._most[row] = max(most, running)

    def free(self, rows: NDArray[np.intp], queue_depth: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Requests that each may still get: what it runs at most and `queue_depth`, less what it has.

        Own requests that the other pickers do not know of yet count once for each of them, too: they see
        the same figures and do the same. At least one is let in where there is room, so pickers exceed the
        bound together by less than their number.
        """
        self._fit()
        table = self._table
        of_others = self._peers.since_scrape(rows)
        seen = table.waiting[rows] + table.running[rows] + table.unseen[rows] + of_others
        there = np.maximum(seen, table.inflight[rows] + self._peers.inflight(rows))
        left: NDArray[np.float64] = self.most(rows) + queue_depth - there
        return left

    def most(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Requests that each runs at once."""
        self._fit()
        fresh = self._generation[rows] == self._table.generation[rows]
        return np.where(fresh, self._most[rows], FIRST_RUNNING)

    def use(self, rows: NDArray[np.intp], queue_depth: float) -> float:
        """Share of what these engines can take that is taken; 1.0 is full. There is at least one."""
        most = self.most(rows) + queue_depth
        return 1.0 - float(self.free(rows, queue_depth).sum()) / float(most.sum())

    def _fit(self) -> None:
        """As many rows as the table has."""
        more = self._table.capacity - len(self._most)
        if more:
            self._most = np.concatenate([self._most, np.full(more, FIRST_RUNNING)])
            self._before = np.concatenate([self._before, np.full(more, -1.0)])
            self._known = np.concatenate([self._known, np.zeros(more, np.bool_)])
            self._generation = np.concatenate([self._generation, np.full(more, -1, np.int64)])
