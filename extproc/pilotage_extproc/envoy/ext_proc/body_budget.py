"""Bounds on the bytes of all request bodies one process holds, and has yet to receive, at once.

On the built-in transport it is the room of ext_proc's messages: each is let in by its true length, before its
bytes come. On grpcio, where a message stands in memory whole before anyone is asked, large bodies are
admitted by the headers of their requests.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Final

from pilotage_extproc.domain.refusals import Refusal, RequestRefused

LARGE_BYTES: Final = 1 << 20
"""Bodies from this size on are admitted by their headers. Smaller ones are not, so that clients who announce
much and send nothing are in the way of large bodies only."""
WAIT_SECONDS: Final = 1.0
"""Longest that a body waits to be admitted: most of unknown length are small and soon make room."""
_ENVELOPE_BYTES: Final = 1 << 20
"""What a message may be larger than the body in it."""
_MOST_WAITING: Final = 1000


class BodyBudget:
    """Counts bytes; a request that would pass the bound waits a moment, and is refused then."""

    def __init__(
        self,
        *,
        max_bytes: int,
        max_total_bytes: int,
        by_headers: bool = True,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._max_bytes = max_bytes
        self._max_total_bytes = max_total_bytes
        self.by_headers = by_headers
        """Whether `expect` is to be asked; else the transport admits messages, with this for its room."""
        self._wait_seconds = wait_seconds
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self.held_bytes = 0
        self.expected_bytes = 0
        """That were admitted and have not come, or have not been taken over."""

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
        turn = self._turn(expected)
        if turn is not None:
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled() and turn.exception() is None:
                    self.came(expected)  # admitted in the moment its request left
                raise
        return expected

    def came(self, expected_bytes: int) -> None:
        """The body is there, or will not come."""
        if expected_bytes:
            self.left(expected_bytes)

    # the room of a transport's messages

    def ask(self, length: int) -> "asyncio.Future[None] | None":
        """Admit a message of that length: None where that is done, else its turn.

        Raises RequestRefused: 413 where it is too large, 503. So may the turn.
        """
        self._check_length(length)
        return self._turn(length)

    def reserve(self, length: int) -> None:
        """Admit a message that is on its way already. Raises RequestRefused: 413, 503."""
        self._check_length(length)
        if not self._fits(length):
            raise _overloaded()
        self.expected_bytes += length

    def left(self, length: int) -> None:
        """The message was taken over, or will not come."""
        self.expected_bytes -= length
        if self._waiting:
            self._admit()

    def _check_length(self, length: int) -> None:
        if length > self._max_bytes + _ENVELOPE_BYTES:
            raise self._too_large()
        if length > self._max_total_bytes:
            raise _overloaded()

    # bodies that are there

    def take(self, chunk_bytes: int, *, body_bytes: int) -> None:
        """Hold `chunk_bytes` more for a body that is then `body_bytes` long.

        Raises RequestRefused: 413 where the body is too large, 503 where all together are.
        """
        if body_bytes > self._max_bytes:
            raise self._too_large()
        if self.held_bytes + chunk_bytes > self._max_total_bytes:
            raise _overloaded()
        self.held_bytes += chunk_bytes

    def release(self, body_bytes: int) -> None:
        """The body is no longer held."""
        self.held_bytes -= body_bytes
        if self._waiting:
            self._admit()

    def _too_large(self) -> RequestRefused:
        return RequestRefused(
            Refusal.BODY_TOO_LARGE,
            f"The request body is larger than the {self._max_bytes} bytes this gateway accepts.",
        )

    def _fits(self, expected: int) -> bool:
        return self.expected_bytes + self.held_bytes + expected <= self._max_total_bytes

    def _turn(self, expected: int) -> "asyncio.Future[None] | None":
        """None where it is admitted, else done once it is; fails with 503 after a while. Raises the same."""
        if not self._waiting and self._fits(expected):
            self.expected_bytes += expected
            return None
        if len(self._waiting) >= _MOST_WAITING:
            raise _overloaded()
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append((expected, turn))
        late = loop.call_later(self._wait_seconds, self._give_up, turn)
        turn.add_done_callback(lambda done: self._over(done, late))
        return turn

    def _give_up(self, turn: "asyncio.Future[None]") -> None:
        if not turn.done():
            turn.set_exception(_overloaded())

    def _over(self, turn: "asyncio.Future[None]", late: asyncio.TimerHandle) -> None:
        late.cancel()
        if turn.cancelled() or turn.exception() is not None:
            self._admit()  # who comes after it may fit

    def _admit(self) -> None:
        while self._waiting and (self._waiting[0][1].done() or self._fits(self._waiting[0][0])):
            expected, turn = self._waiting.popleft()
            if not turn.done():
                self.expected_bytes += expected
                turn.set_result(None)


def _overloaded() -> RequestRefused:
    return RequestRefused(
        Refusal.OVERLOADED,
        "The gateway holds too many large request bodies; try again.",
        retry_after_seconds=1,
    )
