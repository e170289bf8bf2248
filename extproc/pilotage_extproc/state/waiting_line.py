"""Requests that wait for room at servers: who may wait, whose turn it is, and who has to go.

It knows no event loop: waiters are told by a call, and times are handed in. A turn is an offer: its
request is decided anew, and either goes (`went`) or finds that there is no room for it after all and keeps
its place (`returned`). Turns that are out count as taken, so that no more are given than there is room.
"""

from collections.abc import Callable, Iterable, Mapping
from math import ceil
from typing import Final, NamedTuple

from pilotage_extproc.domain.clock import Clock
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.state.lane import Lane, Level
from pilotage_extproc.state.peer_load import Demand
from pilotage_extproc.state.queue_use import QueueUse
from pilotage_extproc.state.waiter import Waiter

REASON_HEADER: Final = "x-pilotage-reason"
"""Of an answer of the gateway's own: the code of its error, for those who do not read bodies."""
_MOST_TURNS: Final = 64
"""Out at one time in a lane."""
_MOST_LANES: Final = 256
_LONGEST_RETRY_SECONDS: Final = 30


WaitEnded = Callable[[str, str, float], None]
"""Told the policy of a wait that has ended, how, and after how many seconds."""


def _unnoticed(_policy: str, _how: str, _seconds: float) -> None:
    """Nobody counts."""


class Served(NamedTuple):
    """What a request was let through at: to be corrected when it has ended."""

    level: Level
    tenant: str
    weight: float
    charged: float


class Charge(NamedTuple):
    """Service over its weight that a tenant was given at some servers."""

    pools: frozenset[str]
    priority: int
    tenant: str
    amount: float


class WaitingLine:
    """All requests of one process that wait for room."""

    def __init__(
        self, free: Callable[[frozenset[str]], float], clock: Clock, on_ended: WaitEnded = _unnoticed
    ) -> None:
        """`free` is how many more requests the servers of some pools can take now; infinite is no bound."""
        self._free = free
        self._clock = clock
        self._on_ended = on_ended
        self._lanes: dict[frozenset[str], Lane] = {}
        self._use: dict[str, QueueUse] = {}
        self._round = 0
        self._closed = False

    def __len__(self) -> int:
        return sum(len(lane.waiting) for lane in self._lanes.values())

    def occupied(self, pools: frozenset[str]) -> bool:
        """Whether anyone waits for these: who comes now is not let past them."""
        lane = self._lanes.get(pools)
        return lane is not None and bool(lane.waiting)

    def pass_by(
        self, pools: frozenset[str], priority: int, tenant: str, weight: float, cost: float
    ) -> Served:
        """A request that does not wait takes service all the same."""
        level = self._lane(pools).level(priority)
        level.shares.charge(tenant, cost, weight)
        return Served(level, tenant, weight, cost)

    def join(self, waiter: Waiter) -> None:
        """It waits from now on; it may be its turn at once. Raises RequestRefused: 429, 503."""
        if self._closed:
            raise self.draining()
        use = self._use.get(waiter.policy)
        if use is None:
            use = QueueUse()
        in_the_way = use.in_the_way_of(waiter)
        if in_the_way is None:
            self._on_ended(waiter.policy, "full", 0.0)
            raise self._full(waiter)
        for one in in_the_way:
            self.refuse(one, self._shed(one) if one.priority < 0 else self._full(one))
        self._use[waiter.policy] = use
        use.add(waiter)
        self._lane(waiter.pools).add(waiter)
        self.give_turns()

    def leave(self, waiter: Waiter, *, used: bool = False) -> bool:
        """It does not wait any more: its place is free at once. False where it did not wait.

        `used` says that it went: else a turn that it has is not charged.
        """
        lane = self._lanes.get(waiter.pools)
        if lane is None or waiter not in lane.waiting:
            return False
        use = self._use[waiter.policy]
        use.remove(waiter)
        if not use.waiting:
            del self._use[waiter.policy]
        lane.remove(waiter, used=used)
        return True

    def left(self, waiter: Waiter) -> None:
        """Its client is gone, or it was refused elsewhere: whoever is next may have its turn."""
        if self.leave(waiter):
            self._ended(waiter, "left")
            self.give_turns()

    def went(self, waiter: Waiter) -> Served | None:
        """It used its turn. None where it did not wait any more."""
        if not self.leave(waiter, used=True):
            return None
        self._ended(waiter, "served")
        level = self._lane(waiter.pools).level(waiter.priority)
        self.give_turns()
        return Served(level, waiter.tenant, waiter.weight, waiter.cost)

    def returned(self, waiter: Waiter) -> None:
        """Its turn was no use: it keeps its place, and others are asked before it is again."""
        lane = self._lanes.get(waiter.pools)
        if lane is None or waiter not in lane.waiting or not waiter.has_turn:
            return
        lane.take_back(waiter, self._round)
        if self._closed:
            self.refuse(waiter, self.draining())
        elif self._clock() - waiter.since >= waiter.bounds.max_wait_seconds:
            self.expire(waiter)
        else:
            self._offer(lane, waiter.pools)

    def refuse(self, waiter: Waiter, why: RequestRefused) -> None:
        """It has to go. One that does not wait any more is not told."""
        if self.leave(waiter):
            self._ended(waiter, why.reason.code)
            waiter.tell(why)

    def expire(self, waiter: Waiter) -> None:
        """It has waited for as long as it may; one whose turn it is may try it yet."""
        if waiter.has_turn:
            return
        self.refuse(
            waiter,
            self._refused(
                Refusal.QUEUE_TIMEOUT,
                f"No model server had room within {waiter.bounds.max_wait_seconds:g} s.",
                self._retry_seconds(waiter.pools),
            ),
        )
        self.give_turns()

    def room_changed(self) -> None:
        """Something may have changed at servers: requests have ended, figures came, servers came or went."""
        if self._use:
            self._round += 1
            self.give_turns()

    def give_turns(self) -> None:
        """Offer what room there is to those that wait."""
        for pools, lane in list(self._lanes.items()):
            if lane.waiting:
                self._offer(lane, pools)

    def close(self) -> None:
        """The process drains: all are refused whose turn it is not, and nobody may wait any more."""
        self._closed = True
        for lane in list(self._lanes.values()):
            for waiter in list(lane.waiting):
                if not waiter.has_turn:
                    self.refuse(waiter, self.draining())

    def settle(self, served: Served, cost: float) -> None:
        """What a request took in the end."""
        served.level.shares.charge(served.tenant, cost - served.charged, served.weight)

    def lengths(self) -> Mapping[str, tuple[int, int]]:
        """Requests that wait, and bytes of their bodies, by policy."""
        return {policy: (len(use.waiting), use.bytes) for policy, use in self._use.items()}

    def by_pool(self) -> Mapping[str, int]:
        """Requests that wait for servers of each pool; one that waits for several counts at each."""
        counts: dict[str, int] = {}
        for pools, lane in self._lanes.items():
            for pool in pools:
                counts[pool] = counts.get(pool, 0) + len(lane.waiting)
        return counts

    def demands(self) -> dict[str, Demand]:
        """Who waits for each pool, of the highest priority that does."""
        found: dict[str, Demand] = {}
        for pools, lane in self._lanes.items():
            demand = lane.demand() if lane.waiting else None
            if demand is not None:
                for pool in pools:
                    before = found.get(pool)
                    found[pool] = demand if before is None else before.beside(demand)
        return found

    def take_charges(self) -> list[Charge]:
        """Service given here since this was last asked."""
        return [
            Charge(pools, priority, tenant, amount)
            for pools, lane in self._lanes.items()
            for priority, level in lane.levels().items()
            for tenant, amount in level.shares.take_untold().items()
        ]

    def given_elsewhere(self, charges: Iterable[Charge]) -> None:
        """Service that another picker has given counts as if it were given here."""
        for one in charges:
            level = self._lane(one.pools).level(one.priority)
            level.shares.given_elsewhere(one.tenant, one.amount)

    def draining(self) -> RequestRefused:
        """What those that wait are told when the process goes."""
        return self._refused(Refusal.DRAINING, "The gateway is about to restart; try again.", 1)

    def _ended(self, waiter: Waiter, how: str) -> None:
        self._on_ended(waiter.policy, how, self._clock() - waiter.since)

    def _offer(self, lane: Lane, pools: frozenset[str]) -> None:
        room = min(self._free(pools), _MOST_TURNS)
        while room - lane.turns >= 1:
            waiter = lane.next(self._round, self._clock())
            if waiter is None:
                return
            lane.give(waiter)

    def _lane(self, pools: frozenset[str]) -> Lane:
        lane = self._lanes.get(pools)
        if lane is None:
            if len(self._lanes) >= _MOST_LANES:
                self._lanes = {key: one for key, one in self._lanes.items() if one.waiting}
            lane = self._lanes[pools] = Lane()
        return lane

    def _full(self, waiter: Waiter) -> RequestRefused:
        message = "Too many requests wait for a model server already."
        return self._refused(Refusal.QUEUE_FULL, message, self._retry_seconds(waiter.pools))

    def _shed(self, waiter: Waiter) -> RequestRefused:
        message = "Requests of higher priority took this one's place while all model servers are full."
        return self._refused(Refusal.SATURATED, message, self._retry_seconds(waiter.pools))

    def _retry_seconds(self, pools: frozenset[str]) -> int:
        """As long as those at the head have waited: what one that comes back then may expect."""
        lane = self._lanes.get(pools)
        since = None if lane is None else next((one.since for one in lane.waiting), None)
        waited = 0.0 if since is None else self._clock() - since
        return min(_LONGEST_RETRY_SECONDS, max(1, ceil(waited)))

    def _refused(self, reason: Refusal, message: str, retry_seconds: int) -> RequestRefused:
        return RequestRefused(
            reason, message, retry_after_seconds=retry_seconds, more_headers={REASON_HEADER: reason.code}
        )
