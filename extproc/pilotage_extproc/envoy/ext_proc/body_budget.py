"""Bounds on the bytes of all request bodies one process holds, and has yet to receive, at once."""

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Final

from pilotage_extproc.domain.refusals import Refusal, RequestRefused

LARGE_BYTES: Final = 1 << 20
"""Bodies from this size on are admitted before they come: a whole one stands in gRPC's memory until it is
read, where nothing else can bound it. Smaller ones are not, so that clients who announce much and send
nothing are in the way of large bodies only."""
WAIT_SECONDS: Final = 1.0
"""Longest that a body waits to be admitted: most of unknown length are small and soon make room."""
_MOST_WAITING: Final = 1000


class BodyBudget:
    """Counts bytes; a request that would pass the bound is refused."""

    def __init__(self, *, max_bytes: int, max_total_bytes: int, wait_seconds: float = WAIT_SECONDS) -> None:
        self._max_bytes = max_bytes
        self._max_total_bytes = max_total_bytes
        self._wait_seconds = wait_seconds
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self.held_bytes = 0
        self.expected_bytes = 0
        """Of large bodies that were admitted and have not come."""

    async def expect(self, headers: Mapping[str, str]) -> int:
        """Admit a body by its request's headers; how many bytes are now expected. Raises RequestRefused: 503.

        One of unknown length may be as large as a body may be. One that says it is too large is left to
        the gateway, which stops reading it.
        """
        length = headers.get("content-length", "")
        known = length.isascii() and length.isdigit() and len(length) < 20
        expected = int(length) if known else self._max_bytes
        expected = min(expected, self._max_bytes, self._max_total_bytes)
        if expected < LARGE_BYTES:
            return 0
        if self._waiting or not self._fits(expected):
            await self._wait(expected)
        else:
            self.expected_bytes += expected
        return expected

    def came(self, expected_bytes: int) -> None:
        """The body is there, or will not come."""
        if expected_bytes:
            self.expected_bytes -= expected_bytes
            self._admit()

    def take(self, chunk_bytes: int, *, body_bytes: int) -> None:
        """Hold `chunk_bytes` more for a body that is then `body_bytes` long.

        Raises RequestRefused: 413 where the body is too large, 503 where all together are.
        """
        if body_bytes > self._max_bytes:
            raise RequestRefused(
                Refusal.BODY_TOO_LARGE,
                f"The request body is larger than the {self._max_bytes} bytes this gateway accepts.",
            )
        if self.held_bytes + chunk_bytes > self._max_total_bytes:
            raise _overloaded()
        self.held_bytes += chunk_bytes

    def release(self, body_bytes: int) -> None:
        """The body is no longer held."""
        if body_bytes:
            self.held_bytes -= body_bytes
            self._admit()

    def _fits(self, expected: int) -> bool:
        return self.expected_bytes + self.held_bytes + expected <= self._max_total_bytes

    async def _wait(self, expected: int) -> None:
        """Return once admitted, in turn. Raises RequestRefused."""
        if len(self._waiting) >= _MOST_WAITING:
            raise _overloaded()
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((expected, turn))
        try:
            async with asyncio.timeout(self._wait_seconds):
                await turn
        except BaseException as error:
            if not turn.cancelled():
                self.came(expected)  # admitted in the moment it gave up
            self._admit()
            if isinstance(error, TimeoutError):
                raise _overloaded() from None
            raise

    def _admit(self) -> None:
        while self._waiting and (self._waiting[0][1].cancelled() or self._fits(self._waiting[0][0])):
            expected, turn = self._waiting.popleft()
            if not turn.cancelled():
                self.expected_bytes += expected
                turn.set_result(None)


def _overloaded() -> RequestRefused:
    return RequestRefused(
        Refusal.OVERLOADED,
        "The gateway holds too many large request bodies; try again.",
        retry_after_seconds=1,
    )
