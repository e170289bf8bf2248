"""One kept-alive HTTP connection that fetches one page again and again, cheaply and bounded."""

import asyncio
from typing import cast

_MAX_PAGE_BYTES = 4 << 20
_FIRST_BUFFER_BYTES = 64 << 10
_CHUNKED = b"chunked"


class ScrapeError(Exception):
    """A page could not be fetched; the message says why."""


class ScrapeConnection(asyncio.BufferedProtocol):
    """Reads into one buffer that is reused; answers are matched to the one request under way."""

    def __init__(self) -> None:
        self._buffer = bytearray(_FIRST_BUFFER_BYTES)
        self._filled = 0
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[bytes] | None = None

    @property
    def open(self) -> bool:
        """Whether another request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by shape, not by class

    def get_buffer(self, sizehint: int) -> memoryview:
        """Called by the loop: where to read into."""
        del sizehint
        if self._filled == len(self._buffer):
            self._buffer.extend(bytes(len(self._buffer)))
        return memoryview(self._buffer)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Called by the loop: so much has been read."""
        self._filled += nbytes
        if self._filled > _MAX_PAGE_BYTES:
            self._fail(f"the page is larger than {_MAX_PAGE_BYTES} bytes")
            return
        try:
            page = self._page()
        except ScrapeError as error:
            self._fail(str(error))
            return
        if page is not None:
            self._filled = 0
            if self._waiting is not None and not self._waiting.done():
                self._waiting.set_result(page)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        del exc
        self._transport = None
        self._fail("the connection was closed")

    def _fail(self, reason: str) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ScrapeError(reason))
        self.close()

    def close(self) -> None:
        """Close at once; what is under way is dropped."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    async def fetch(self, request: bytes, timeout_seconds: float) -> bytes:
        """Send a request and wait for its page. Raises ScrapeError; the connection is then closed."""
        if self._transport is None:
            raise ScrapeError("the connection was closed")
        self._filled = 0
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        # cheaper than asyncio.timeout, and unlike wait_for of Python 3.11 it loses no cancellation
        deadline = loop.call_later(timeout_seconds, self._fail, f"no answer within {timeout_seconds:g} s")
        self._transport.write(request)
        try:
            return await self._waiting
        finally:
            deadline.cancel()
            self._waiting = None

    def _page(self) -> bytes | None:
        """The body, once all of it is here."""
        buffer = self._buffer
        head_end = buffer.find(b"\r\n\r\n", 0, self._filled)
        if head_end < 0:
            if self._filled > 65536:
                raise ScrapeError("the answer's head does not end")
            return None
        head = bytes(buffer[:head_end]).lower()
        status = head[9:12]
        if not head.startswith(b"http/1.") or status != b"200":
            raise ScrapeError(f"the answer's status is {status.decode('latin-1')!r}")
        start = head_end + 4
        at = head.find(b"\r\ncontent-length:")
        if at >= 0:
            text = head[at + 17 :].partition(b"\r\n")[0].strip()
            if not text.isdigit():
                raise ScrapeError("the answer's content-length is not a number")
            end = start + int(text)
            return bytes(memoryview(buffer)[start:end]) if self._filled >= end else None
        if _CHUNKED in head:
            return self._dechunked(start)
        raise ScrapeError("the answer has neither content-length nor chunks")

    def _dechunked(self, at: int) -> bytes | None:
        parts: list[bytes] = []
        while True:
            line_end = self._buffer.find(b"\r\n", at, self._filled)
            if line_end < 0:
                return None
            try:
                size = int(bytes(self._buffer[at:line_end]).partition(b";")[0], 16)
            except ValueError:
                raise ScrapeError("a chunk's size is not a number") from None
            start, at = line_end + 2, line_end + 2 + size + 2
            if at > self._filled:
                return None
            if size == 0:
                return b"".join(parts)
            parts.append(bytes(memoryview(self._buffer)[start : start + size]))
