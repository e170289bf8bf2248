"""Room at the servers of pools, by the index in force."""

from collections.abc import Iterable, Iterator
from math import inf

import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.domain.clock import Clock
from pilotage_extproc.rules.routing_index import CurrentIndex
from pilotage_extproc.state.endpoints import EndpointTable
from pilotage_extproc.state.engine_room import EngineRoom


class PoolRoom:
    """How many more requests pools can take."""

    def __init__(
        self, current: CurrentIndex, table: EndpointTable, engines: EngineRoom, clock: Clock
    ) -> None:
        self._current = current
        self._table = table
        self._engines = engines
        self._clock = clock

    def free(self, pools: Iterable[str]) -> float:
        """Requests that the servers of these pools that take any can still get; infinite is no bound."""
        total = 0.0
        for pool in pools:
            rows, queue_depth = self._usable(pool)
            if not len(rows):
                continue
            if queue_depth is None:
                return inf
            total += float(np.floor(self._engines.free(rows, queue_depth)).clip(min=0.0).sum())
        return total

    def at(self, row: int, pool: str) -> bool:
        """Whether one server can take one more."""
        known = self._current.index.pools.get(pool)
        if known is None or known.admission_queue_depth is None:
            return True
        return bool(self._engines.free(np.array([row]), known.admission_queue_depth)[0] >= 1)

    def bounded(self) -> list[str]:
        """Keys of the pools with `admission`."""
        pools = self._current.index.pools
        return [pool for pool, known in pools.items() if known.admission_queue_depth is not None]

    def use(self) -> Iterator[tuple[str, float]]:
        """Of these, each with servers that take requests and how full it is: 1.0 is full, more is beyond."""
        for pool in self.bounded():
            rows, queue_depth = self._usable(pool)
            if len(rows):
                yield pool, self._engines.use(rows, queue_depth or 0.0)

    def _usable(self, pool: str) -> tuple[NDArray[np.intp], float | None]:
        index, table = self._current.index, self._table
        rule, known = index.pool_rules.get(pool), index.pools.get(pool)
        if rule is None or known is None:
            return np.empty(0, np.intp), None
        rows = rule.route.candidates.rows
        usable = table.admitted[rows] & ~table.draining[rows] & (table.ejected_until[rows] <= self._clock())
        return rows[usable], known.admission_queue_depth
