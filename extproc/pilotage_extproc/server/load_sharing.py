"""Pickers tell each other what they have in flight, who waits at them, and what service they have given.

Told after each interval in which there was something new, and in full every `FULL_SECONDS`, so that what is
lost heals. The interval grows with the number of pickers: what a picker sends does not. Where no pool has
`admission`, or this is the only picker, nothing is told.
"""

import asyncio
from typing import Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.rules.room import PoolRoom
from pilotage_extproc.settlement.news import LoadNews
from pilotage_extproc.settlement.peers import Peers
from pilotage_extproc.state.endpoints import EndpointTable
from pilotage_extproc.state.peer_load import Demand, PeerLoad
from pilotage_extproc.state.waiting_line import Charge, WaitingLine

INTERVAL_SECONDS: Final = 0.02
"""For each other picker."""
FULL_SECONDS: Final = 0.2
_QUIET_SECONDS: Final = 0.5


class LoadSharing:
    """Of one process."""

    def __init__(
        self,
        process_id: str,
        table: EndpointTable,
        load: PeerLoad,
        line: WaitingLine,
        room: PoolRoom,
        peers: Peers,
    ) -> None:
        self._process_id = process_id
        self._table = table
        self._load = load
        self._line = line
        self._room = room
        self._peers = peers
        self._told: NDArray[np.float64] = np.zeros(0)
        self._told_waiting: dict[str, tuple[int, float, dict[str, float]]] = {}
        self._turns_to_full = 0

    async def run(self) -> NoReturn:
        """Until cancelled."""
        while True:
            if not self._load.others() or not self._room.bounded():
                self._line.take_charges()
                self._load.telling({})  # of those that have gone nothing is kept
                await asyncio.sleep(_QUIET_SECONDS)
            else:
                self.tell()
                await asyncio.sleep(self.interval_seconds)

    @property
    def interval_seconds(self) -> float:
        """Between two news to all others."""
        return min(INTERVAL_SECONDS * self._load.others(), FULL_SECONDS)

    def tell(self) -> None:
        """Once."""
        demands = self._line.demands()
        news = self.news(demands)
        if news is not None:
            self._peers.tell(news)
        self._load.telling(demands)

    def news(self, demands: dict[str, Demand]) -> LoadNews | None:
        """What the others do not know yet, or all of it in its turn."""
        everything = self._turns_to_full <= 0
        if everything:
            self._turns_to_full = round(FULL_SECONDS / max(self.interval_seconds, INTERVAL_SECONDS))
        self._turns_to_full -= 1
        now, before = self._table.inflight.copy(), self._told
        before = np.concatenate([before, np.zeros(len(now) - len(before))])
        self._told = now
        rows = np.flatnonzero(now if everything else now != before).tolist()
        servers = {at: int(now[row]) for row in rows if (at := self._table.address_of(row)) is not None}
        waiting = {
            pool: (one.priority, one.minimum_share, dict(one.weights)) for pool, one in demands.items()
        }
        charges = [
            (sorted(one.pools), one.priority, one.tenant, one.amount) for one in self._line.take_charges()
        ]
        if not (everything or servers or charges or waiting != self._told_waiting):
            return None
        self._told_waiting = waiting
        return LoadNews(self._process_id, everything, servers, waiting, charges)

    def heard(self, news: LoadNews) -> None:
        """What a peer tells: there may be room now that was not before."""
        waiting = {pool: Demand(*told) for pool, told in news.waiting.items()}
        self._load.hear(news.process, news.servers, waiting, everything=news.everything)
        self._line.given_elsewhere(
            Charge(frozenset(pools), priority, tenant, amount)
            for pools, priority, tenant, amount in news.charges
        )
        self._line.room_changed()
