"""Room at the servers of pools, by the index in force."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from math import floor, inf

import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.domain.clock import Clock
from pilotage_extproc.rules.routing_index import CurrentIndex
from pilotage_extproc.state.endpoints import EndpointTable
from pilotage_extproc.state.engine_room import EngineRoom
from pilotage_extproc.state.peer_load import Demand, PeerLoad
from pilotage_extproc.state.picker_shares import places


class PoolRoom:
    """How many more requests pools can take."""

    def __init__(
        self,
        current: CurrentIndex,
        table: EndpointTable,
        engines: EngineRoom,
        clock: Clock,
        *,
        peers: PeerLoad,
        process_id: str,
        utc_now: Callable[[], float] = time.time,
    ) -> None:
        self._current = current
        self._table = table
        self._engines = engines
        self._clock = clock
        self._peers = peers
        self._process_id = process_id
        self._utc_now = utc_now

    def free(self, pools: Collection[str]) -> float:
        """Requests that this process may still send to these pools' servers; infinite is no bound."""
        return min(self._total(pools), self.share(pools))

    def share(self, pools: Collection[str]) -> float:
        """What is left to this process of its share, where requests wait at others; else infinite."""
        elsewhere = self._peers.waiting(pools)
        if not elsewhere:
            return inf
        most, own, of_idle = 0.0, 0.0, 0.0
        for pool in pools:
            rows, queue_depth = self._usable(pool)
            if len(rows) and queue_depth is None:
                return inf
            most += float((self._engines.most(rows) + (queue_depth or 0.0)).sum())
            own += float(self._table.inflight[rows].sum())
            of_idle += self._peers.of_idle(rows, elsewhere)
        here = self._peers.own_waiting(pools)
        if here is None:
            # who has just come waits nowhere yet: as one among the first of those that do
            here = Demand(max(one.priority for one in elsewhere.values()), 0.0, {"": 1.0})
        demands = {**elsewhere, self._process_id: here}
        return places(demands, self._process_id, max(1.0, floor(most - of_idle)), self._utc_now()) - own

    def _total(self, pools: Iterable[str]) -> float:
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
