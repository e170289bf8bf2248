"""What is written to one connection: gathered, so that all of one moment leaves in one call."""

import asyncio


class Output:
    """Bytes for a transport, which may be slow to take them."""

    __slots__ = ("_flushing", "_loop", "_out", "_transport", "paused")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.paused = False
        """Whether the peer takes less than is written."""
        self._loop = loop
        self._out: list[bytes] = []
        self._flushing = False
        self._transport: asyncio.Transport | None = None

    def open(self, transport: asyncio.Transport, high_bytes: int) -> None:
        """Write there from now on."""
        self._transport = transport
        transport.set_write_buffer_limits(high=high_bytes)

    def emit(self, data: bytes) -> None:
        """Send with all else that is made in this turn of the loop."""
        self._out.append(data)
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
        if transport is not None:
            transport.write(out[0] if len(out) == 1 else b"".join(out))
        out.clear()

    def pause(self) -> None:
        """The peer takes nothing for now."""
        self.paused = True

    def go_on(self) -> None:
        """It does again."""
        self.paused = False

    def close(self) -> None:
        """Send no more."""
        self._transport = None
        self._out.clear()
