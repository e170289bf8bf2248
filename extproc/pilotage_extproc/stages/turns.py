"""Work on one request in short turns of the event loop, so that it holds nobody up."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

_TURN_SECONDS: Final = 0.001


def in_turns(work: Iterator[None], done: Callable[[], None]) -> Awaitable[None] | None:
    """Do some work, and call `done` behind it; an awaitable where it takes more than a millisecond."""
    if _turn(work):
        done()
        return None
    return _further(work, done)


async def _further(work: Iterator[None], done: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(0)
        if _turn(work):
            break
    done()


def _turn(work: Iterator[None]) -> bool:
    """Whether the work is done; a turn ends at the first pause behind a millisecond."""
    until = time.perf_counter() + _TURN_SECONDS
    return all(time.perf_counter() < until for _ in work)
