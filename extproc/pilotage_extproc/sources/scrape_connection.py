"""One kept-alive HTTP connection that fetches one page again and again, cheaply and bounded.

Without tasks or futures: a page is handed to a callback as it is complete, since waking a task for each
of a thousand pages a second costs more than reading them.
"""

import asyncio
import re
from collections.abc import Callable
from typing import cast

_MAX_PAGE_BYTES = 4 << 20
"""Of what is sent, chunk sizes included; a real vLLM's page is 52 KB, that of 32 data-parallel engines
1.36 MB."""
_MAX_CHUNKS = 4096
_MAX_HEAD_BYTES = 64 << 10
_FIRST_BUFFER_BYTES = 64 << 10
_KEPT_BUFFER_BYTES = 256 << 10
"""A larger one is given up after its page: a thousand endpoints with large pages must not hold one each."""
_CHUNKED = b"chunked"
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}")
_UNKNOWN = -1


class ScrapeError(Exception):
    """A page could not be fetched; the message says why."""


class ScrapeConnection(asyncio.BufferedProtocol):
    """Reads into one buffer that is reused; each answer belongs to the one request under way."""

    def __init__(self, on_page: Callable[[bytes], None], on_failed: Callable[[str], None]) -> None:
        """`on_failed` is told once, while a request is under way; the connection is closed then."""
        self._on_page = on_page
        self._on_failed = on_failed
        self._buffer = bytearray(_FIRST_BUFFER_BYTES)
        self._filled = 0
        self._body_start = 0
        """Behind the answer's head; 0 while that is incomplete."""
        self._body_end = _UNKNOWN
        """Where a body of known length ends."""
        self._chunks: list[bytes] = []
        """Of a body in chunks: those read so far."""
        self._next_chunk = 0
        """Where the next one begins."""
        self._transport: asyncio.Transport | None = None
        self.waiting = False
        """Whether a request is under way."""

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
        if self._filled < self._body_end:
            return
        if self._filled > _MAX_PAGE_BYTES:
            self.fail(f"the page is larger than {_MAX_PAGE_BYTES} bytes")
            return
        try:
            page = self._page()
        except ScrapeError as error:
            self.fail(str(error))
            return
        if page is not None:
            waiting, self.waiting = self.waiting, False
            self._begin()
            if waiting:
                self._on_page(page)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        del exc
        self._transport = None
        self.fail("the connection was closed")

    def fail(self, reason: str) -> None:
        """Give up the request under way, if any, and close."""
        waiting, self.waiting = self.waiting, False
        self.close()
        if waiting:
            self._on_failed(reason)

    def close(self) -> None:
        """Close at once; what is under way is dropped."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def ask(self, request: bytes) -> None:
        """Send a request; its page, or its failure, is told later."""
        self.waiting = True
        if self._transport is None:
            self.fail("the connection was closed")
            return
        self._begin()
        self._transport.write(request)

    def _begin(self) -> None:
        self._filled = self._body_start = 0
        self._body_end = _UNKNOWN
        self._chunks = []
        if len(self._buffer) > _KEPT_BUFFER_BYTES:
            self._buffer = bytearray(_FIRST_BUFFER_BYTES)

    def _page(self) -> bytes | None:
        """The body, once all of it is here."""
        if not self._body_start and not self._read_head():
            return None
        if self._body_end == _UNKNOWN:
            return self._dechunked()
        if self._filled < self._body_end:
            return None
        return bytes(memoryview(self._buffer)[self._body_start : self._body_end])

    def _read_head(self) -> bool:
        head_end = self._buffer.find(b"\r\n\r\n", 0, self._filled)
        if head_end < 0:
            if self._filled > _MAX_HEAD_BYTES:
                raise ScrapeError("the answer's head does not end")
            return False
        head = bytes(memoryview(self._buffer)[:head_end]).lower()
        status = head[9:12]
        if not head.startswith(b"http/1.") or status != b"200":
            raise ScrapeError(f"the answer's status is {status.decode('latin-1')!r}")
        self._body_start = head_end + 4
        at = head.find(b"\r\ncontent-length:")
        if at >= 0:
            text = head[at + 17 :].partition(b"\r\n")[0].strip()
            if not text.isdigit() or len(text) > 18:
                raise ScrapeError("the answer's content-length is not a number")
            self._body_end = self._body_start + int(text)
            if self._body_end > _MAX_PAGE_BYTES:
                raise ScrapeError(f"the page is larger than {_MAX_PAGE_BYTES} bytes")
        elif _CHUNKED in head:
            self._next_chunk = self._body_start
        else:
            raise ScrapeError("the answer has neither content-length nor chunks")
        return True

    def _dechunked(self) -> bytes | None:
        """The body once its last chunk is here; what has been read is not read again."""
        buffer, at = self._buffer, self._next_chunk
        while (line_end := buffer.find(b"\r\n", at, self._filled)) >= 0:
            size_text = bytes(memoryview(buffer)[at:line_end]).partition(b";")[0].strip()
            if _CHUNK_SIZE.fullmatch(size_text) is None:
                raise ScrapeError("a chunk's size is not a number")
            size = int(size_text, 16)
            start = line_end + 2
            following = start + size + 2
            if following > _MAX_PAGE_BYTES or len(self._chunks) >= _MAX_CHUNKS:
                raise ScrapeError("the page has too many bytes or chunks")
            if following > self._filled:
                return None
            if size == 0:
                return b"".join(self._chunks)
            self._chunks.append(bytes(memoryview(buffer)[start : start + size]))
            self._next_chunk = at = following
        return None
