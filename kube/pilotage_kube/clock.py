"""Time as a dependency: monotonic seconds and waiting, so that tests can turn the clock.

Remote timestamps are never compared with local time anywhere in this package: what another process
says is dated by when this process saw it.
"""

import asyncio
import heapq
import itertools
import time
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Time(Protocol):
    """A monotonic clock that can also be waited on."""

    def __call__(self) -> float:
        """Monotonic seconds."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return once `seconds` have passed."""
        ...


class SystemTime:
    """The machine's own monotonic clock."""

    def __call__(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return once `seconds` have passed."""
        await asyncio.sleep(seconds)


class ManualTime:
    """A clock that stands still until told otherwise; sleepers wake in order as it is turned."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Return once the clock has been turned by `seconds`."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + max(0.0, seconds), next(self._order), waiting))
        await waiting

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass; whoever wakes meanwhile runs, at its own moment."""
        end = self.now + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            moment, _, waiting = heapq.heappop(self._sleepers)
            self.now = max(self.now, moment)
            if not waiting.done():
                waiting.set_result(None)
                await settle()
        self.now = end


async def settle(turns: int = 50) -> None:
    """Let every task that can run do so."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def within(clock: Time, seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, cancelled once `seconds` have passed by this clock. Raises TimeoutError."""
    task = asyncio.ensure_future(work)
    alarm = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait({task, alarm}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise TimeoutError
    finally:
        alarm.cancel()
        if not task.done():
            task.cancel()
            # what it says in its last moment concerns nobody any more
            await asyncio.gather(task, return_exceptions=True)
