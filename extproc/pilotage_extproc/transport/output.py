"""What is written to one connection: gathered, so that all of one moment leaves in one call."""

import asyncio
from collections.abc import Callable, Sequence


class Output:
    """Bytes for a transport, which may be slow to take them."""

    __slots__ = (
        "_flushed",
        "_flushing",
        "_high_bytes",
        "_loop",
        "_out",
        "_transport",
        "_unsent",
        "full",
        "paused",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.paused = False
        """Whether the peer takes less than is written."""
        self.full = False
        """Whether so much has been made since the last flush that the next is to come first."""
        self._loop = loop
        self._out: list[bytes | memoryview] = []
        self._unsent = 0
        """Bytes made, and those that the transport held at the last flush."""
        self._flushing = False
        self._high_bytes = 0
        self._transport: asyncio.Transport | None = None
        self._flushed: Callable[[], None] | None = None

    def open(self, transport: asyncio.Transport, high_bytes: int, flushed: Callable[[], None]) -> None:
        """Write there from now on; `flushed` is called once a full output is so no more."""
        self._transport = transport
        self._high_bytes = high_bytes
        self._flushed = flushed
        transport.set_write_buffer_limits(high=high_bytes)

    def emit(self, data: bytes) -> None:
        """Send with all else that is made in this turn of the loop."""
        self.emit_all((data,), len(data))

    def emit_all(self, pieces: Sequence[bytes | memoryview], size: int) -> None:
        """Send these, of so many bytes together, with all else that is made in this turn of the loop."""
        self._out += pieces
        self._unsent += size
        if self._unsent > self._high_bytes:
            self.full = True
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self.flush)

    def hold(self) -> None:
        """Send nothing until `flush`."""
        self._flushing = True

    def flush(self) -> None:
        """Send."""
        self._flushing = False
        out, transport = self._out, self._transport
        if not out:
            return
        self._out = []
        if transport is not None:
            transport.write(b"".join(out))
            self._unsent = transport.get_write_buffer_size()
        if self.full:
            self.full = False
            if self._flushed is not None and not self.paused:
                self._flushed()

    def pause(self) -> None:
        """The peer takes nothing for now."""
        self.paused = True

    def go_on(self) -> None:
        """It does again."""
        self.paused = False

    def close(self) -> None:
        """Send no more."""
        self._transport = self._flushed = None
        self._out.clear()
