"""A header block, over one frame or several."""

from pilotage_extproc.transport.frames import (
    FRAME_BYTES,
    MOST_WINDOW,
    PADDED,
    UINT32,
    WITH_PRIORITY,
    Code,
    ConnectionFault,
    without_padding,
)
from pilotage_extproc.transport.limits import Limits


class HeaderBlock:
    """Bytes of a block as far as they have come."""

    __slots__ = ("_pieces", "data", "depends_on_itself", "flags", "stream")

    def __init__(self, stream: int, flags: int, data: bytes, *, depends_on_itself: bool) -> None:
        self.stream = stream
        self.flags = flags
        """Of its HEADERS frame."""
        self.data = data
        self.depends_on_itself = depends_on_itself
        self._pieces = 0

    def go_on(self, stream: int, piece: bytes, limits: Limits) -> None:
        """Take a CONTINUATION. Raises ConnectionFault."""
        if stream != self.stream:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "CONTINUATION of another stream")
        self.data += piece
        self._pieces += 1
        if self._pieces > limits.continuations:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "a header block is in too many frames")
        if len(self.data) > limits.header_bytes:
            raise too_long()


def too_long() -> ConnectionFault:
    """Of a block that is too long to be decoded."""
    return ConnectionFault(Code.ENHANCE_YOUR_CALM, "a header block is too long")


def opened(stream: int, flags: int, data: bytes, start: int, end: int) -> HeaderBlock:
    """The block that a HEADERS frame begins. Raises ConnectionFault."""
    if not stream & 1:
        raise ConnectionFault(Code.PROTOCOL_ERROR, "a client's streams have odd numbers")
    if flags & PADDED:
        start, end = without_padding(data, start, end)
    depends_on_itself = False
    if flags & WITH_PRIORITY:
        if end - start < 5:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "HEADERS without room for its priority")
        depends_on_itself = UINT32.unpack_from(data, start)[0] & MOST_WINDOW == stream
        start += 5
    assert end - start <= FRAME_BYTES
    return HeaderBlock(stream, flags, data[start:end], depends_on_itself=depends_on_itself)
