"""Bounds on what one caller may cost, each against a known way to wear a server out."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from pilotage_extproc.transport import frames
from pilotage_extproc.transport.contract import CallRefused, Status


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one port; docs/transport.md tells what each is for."""

    connections: int = 4_096
    streams: int = 100_000
    """Over all connections."""
    streams_a_connection: int = 10_000
    header_bytes: int = 16 << 10
    """Of a header block, and of the list it stands for."""
    continuations: int = 8
    """Frames that go on with a header block."""
    stream_window: int = 256 << 10
    """What a caller may send on a stream before anything of it has been used."""
    connection_window: int = 64 << 20
    message_bytes: int = 4 << 20
    """Of a method without a room of its own."""
    messages_bytes: int = 64 << 20
    """Of all such methods together, of messages that are not whole or not used yet."""
    early_resets: int = 1_000
    """Streams that end before anything was answered, at once; see `early_resets_a_second`."""
    early_resets_a_second: float = 100.0
    idle_frames: int = 10_000
    """Frames that bring nothing, at once; see `idle_frames_a_second`."""
    idle_frames_a_second: float = 1_000.0
    write_buffer_bytes: int = 1 << 20
    """Past this nothing more is made for the connection, but what ends calls and answers pings."""
    write_buffer_most_bytes: int = 8 << 20
    """Past this the connection is ended."""
    messages_at_once: int = 8
    """Handed over before others, and answers, have their turn."""
    input_bytes: int = 512 << 10
    """Read ahead while others have their turn."""
    greeting_seconds: float = 10.0
    message_seconds: float = 30.0
    """From the first byte of a message, or the head of a call, to the end of the (first) message."""
    stall_seconds: float = 30.0
    """Longest that a caller takes nothing of what waits for it."""
    silence_seconds: float = 60.0
    """After this a connection is asked whether it is still there."""
    ping_seconds: float = 20.0
    """Longest for its answer."""

    def announced(self) -> dict[int, int]:
        """Those that a caller is told, as SETTINGS."""
        return {
            frames.MAX_CONCURRENT_STREAMS: self.streams_a_connection,
            frames.INITIAL_WINDOW_SIZE: self.stream_window,
            frames.MAX_HEADER_LIST_SIZE: self.header_bytes,
        }


class Bucket:
    """Tokens that come back with time; what takes more than there are has gone too far."""

    __slots__ = ("_at", "_clock", "_most", "_per_second", "_tokens")

    def __init__(self, most: int, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = float(most)
        self._per_second = per_second
        self._clock = clock
        self._tokens = self._most
        self._at = clock()

    def take(self, tokens: float = 1.0) -> bool:
        """False where there are not enough."""
        self._tokens -= tokens
        if self._tokens >= 0:
            return True
        now = self._clock()
        self._tokens = min(self._most, self._tokens + (now - self._at) * self._per_second)
        self._at = now
        return self._tokens >= 0

    def give(self, tokens: float = 1.0) -> bool:
        """Give some back, for work that was worth it. Whether there are as many as there can be."""
        if self._tokens < self._most:
            self._tokens += tokens
        return self._tokens >= self._most


class SharedRoom:
    """A room that has space at once or never."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self.taken_bytes = 0

    def reserve(self, length: int) -> None:
        """Raises CallRefused: RESOURCE_EXHAUSTED."""
        if self.taken_bytes + length > self._most:
            raise CallRefused(Status.RESOURCE_EXHAUSTED, "too many messages are under way; try again")
        self.taken_bytes += length

    def ask(self, length: int) -> "asyncio.Future[None] | None":
        """As `reserve`: nobody waits."""
        self.reserve(length)
        return None

    def left(self, length: int) -> None:
        """Give room back."""
        self.taken_bytes -= length
