"""The second copy of access-log entries: what was lost with the receiver of the first is settled by it.

Envoy sends each entry to two processes where money is counted for all of them. A copy is looked at some
seconds later: only where its request still holds something, or was estimated, is it taken.
"""

import asyncio
import logging
import math
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final, Generic, Protocol, TypeVar

from pilotage_extproc.accounting.store import StoreAway
from pilotage_extproc.domain.clock import Clock
from pilotage_extproc.domain.outcome import Outcome

log = logging.getLogger(__name__)

LOOK_AFTER_SECONDS: Final = 2.0
"""By then the first entry has been settled, if anybody has received it."""
_MOST_WAITING: Final = 20_000
_BATCH: Final = 500
_MOST_SEEN: Final = 4096
_MOVE_SECONDS: Final = 0.05
_LONGEST_MOVE_SECONDS: Final = 5.0
"""Streams of copies that come to the same process as the first entries are ended so often: at first soon, for
what both bring is lost with that process; then more seldom, since there may be no other one."""


class Unsettled(Protocol):
    """Where it is known what has been settled."""

    async def unsettled_of(self, ids: Collection[str]) -> Mapping[str, bool]:
        """Those that hold something still (False), or were estimated (True). Raises StoreAway."""


class Entry(Protocol):
    """One entry of the access log."""

    outcome: Outcome


E = TypeVar("E", bound=Entry)


class Copies(Generic[E]):
    """Copies that wait to be looked at; `run` it as a task."""

    def __init__(
        self,
        store: Unsettled,
        take: Callable[[E], None],
        clock: Clock,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        count: Callable[[str], None] = lambda _kind: None,
    ) -> None:
        """`take` is what first entries go to.

        `count` is told of each copy: `apart` from the first entry, `together` with it, or `taken` for it.
        """
        self._store = store
        self._take = take
        self._clock = clock
        self._sleep = sleep
        self._count = count
        self._waiting: deque[tuple[float, str, Callable[[], E]]] = deque()
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._next_move, self._move_seconds = -math.inf, _MOVE_SECONDS

    def first(self, decision_id: str) -> None:
        """A first entry has come to this process."""
        self._seen[decision_id] = None
        if len(self._seen) > _MOST_SEEN:
            self._seen.popitem(last=False)

    def second(self, decision_id: str, read: Callable[[], E]) -> bool:
        """Keep a copy, which is seldom read; False where its stream had better go to another process.

        One that gets the first entries too would lose both: copies of entries it has seen tell.
        """
        now = self._clock()
        if decision_id in self._seen:
            self._count("together")
            if now < self._next_move:
                return True
            self._next_move = now + self._move_seconds
            self._move_seconds = min(2 * self._move_seconds, _LONGEST_MOVE_SECONDS)
            return False
        self._count("apart")
        self._move_seconds = _MOVE_SECONDS
        if len(self._waiting) >= _MOST_WAITING:
            self._waiting.popleft()
        self._waiting.append((now, decision_id, read))
        return True

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._sleep(LOOK_AFTER_SECONDS / 4)
            try:
                await self.look()
            except StoreAway as away:
                log.debug("copies of access-log entries wait: %s", away)

    async def look(self) -> None:
        """Take those that have waited and are needed. Raises StoreAway."""
        until = self._clock() - LOOK_AFTER_SECONDS
        while self._waiting and self._waiting[0][0] <= until:
            due: dict[str, Callable[[], E]] = {}
            for since, identifier, read in self._waiting:
                if since > until or len(due) >= _BATCH:
                    break
                due[identifier] = read
            needed = await self._store.unsettled_of(due)
            while self._waiting and self._waiting[0][1] in due:
                self._waiting.popleft()
            for identifier, estimated in needed.items():
                entry = due[identifier]()
                if not estimated or entry.outcome.usage.output_tokens is not None:
                    self._count("taken")
                    self._take(entry)
