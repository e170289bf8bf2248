"""HTTP/2 frames (RFC 9113): their numbers, and bytes of those that are sent."""

from enum import IntEnum
from struct import Struct
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_HEAD: Final = Struct(">HBBBI")
"""Length (24 bits in two parts), type, flags, stream."""
UINT32: Final = Struct(">I")
MESSAGE_HEAD: Final = Struct(">BI")
"""gRPC's prefix of a message: compressed or not, length."""
DATA_HEAD: Final = Struct(">HBBBIBI")
"""Both: of a DATA frame with which a message begins."""
_RESET: Final = Struct(">HBBBII")
HEAD_BYTES: Final = 9
PREFIX_BYTES: Final = 5
FRAME_BYTES: Final = 16_384
"""Largest payload sent, and received: the least that HTTP/2 allows."""
MOST_WINDOW: Final = (1 << 31) - 1
FIRST_WINDOW: Final = 65_535

# bare numbers, not an enum: compared for every frame
DATA: Final = 0
HEADERS: Final = 1
PRIORITY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

END_STREAM: Final = 1
ACK: Final = 1
END_HEADERS: Final = 4
PADDED: Final = 8
WITH_PRIORITY: Final = 32

MAX_CONCURRENT_STREAMS: Final = 3
INITIAL_WINDOW_SIZE: Final = 4
MAX_FRAME_SIZE: Final = 5
MAX_HEADER_LIST_SIZE: Final = 6
ENABLE_PUSH: Final = 2


class Code(IntEnum):
    """HTTP/2's error codes."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


class ConnectionFault(Exception):
    """A peer's fault that ends its connection."""

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class StreamFault(Exception):
    """A peer's fault that ends one stream."""

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    length = len(payload)
    return FRAME_HEAD.pack(length >> 8, length & 255, kind, flags, stream) + payload


def reset(stream: int, code: Code) -> bytes:
    """RST_STREAM."""
    return _RESET.pack(0, 4, RST_STREAM, 0, stream, code)


def before_stream(kind: int, flags: int, payload: bytes) -> bytes:
    """What stands before the number of its stream in a frame of this payload."""
    return frame(kind, flags, 0, payload)[:5]


def data_frames(stream: int, message: bytes, before: bytes = b"") -> list[bytes | memoryview]:
    """A message that is too long for one as DATA frames, in pieces, behind what comes before."""
    length = len(message)
    view, first = memoryview(message), FRAME_BYTES - PREFIX_BYTES
    begun = DATA_HEAD.pack(FRAME_BYTES >> 8, FRAME_BYTES & 255, DATA, 0, stream, 0, length)
    pieces: list[bytes | memoryview] = [before + begun, view[:first]]
    full, at = FRAME_HEAD.pack(FRAME_BYTES >> 8, FRAME_BYTES & 255, DATA, 0, stream), first
    while length - at > FRAME_BYTES:
        pieces += full, view[at : at + FRAME_BYTES]
        at += FRAME_BYTES
    size = length - at
    pieces += FRAME_HEAD.pack(size >> 8, size & 255, DATA, 0, stream), view[at:]
    return pieces


def window_update(stream: int, more: int) -> bytes:
    """WINDOW_UPDATE; stream 0 is the connection."""
    return frame(WINDOW_UPDATE, 0, stream, UINT32.pack(more))


def goaway(last_stream: int, code: Code, reason: str = "") -> bytes:
    """GOAWAY."""
    return frame(GOAWAY, 0, 0, UINT32.pack(last_stream) + UINT32.pack(code) + reason.encode()[:200])


def settings(values: dict[int, int]) -> bytes:
    """SETTINGS."""
    pairs = [key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in values.items()]
    return frame(SETTINGS, 0, 0, b"".join(pairs))


def without_padding(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Where the payload of a padded frame is. Raises ConnectionFault."""
    if start == end or data[start] >= end - start:
        raise ConnectionFault(Code.PROTOCOL_ERROR, "padding is longer than its frame")
    return start + 1, end - data[start]


def increment(payload: bytes) -> int:
    """By how much a WINDOW_UPDATE lets a window grow. Raises ConnectionFault."""
    if len(payload) != 4:
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, "WINDOW_UPDATE has 4 bytes")
    more: int = UINT32.unpack(payload)[0] & MOST_WINDOW
    return more


def check_ping(stream: int, payload: bytes) -> None:
    """What can be wrong with a PING. Raises ConnectionFault."""
    if stream:
        raise ConnectionFault(Code.PROTOCOL_ERROR, "PING of a stream")
    if len(payload) != 8:
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, "PING has 8 bytes")


def check_needless(kind: int, stream: int) -> None:
    """Of kinds that a client has no use for, what can be wrong with them. Raises ConnectionFault."""
    if kind == PUSH_PROMISE:
        raise ConnectionFault(Code.PROTOCOL_ERROR, "a client cannot push")
    if kind == GOAWAY and stream:
        raise ConnectionFault(Code.PROTOCOL_ERROR, "GOAWAY of a stream")


def check_priority(stream: int, payload: bytes) -> None:
    """What can be wrong with a PRIORITY, which is passed over. Raises ConnectionFault, StreamFault."""
    if not stream:
        raise ConnectionFault(Code.PROTOCOL_ERROR, "PRIORITY of no stream")
    if len(payload) != 5:
        raise StreamFault(Code.FRAME_SIZE_ERROR, "PRIORITY has 5 bytes")
    if UINT32.unpack_from(payload)[0] & MOST_WINDOW == stream:
        raise StreamFault(Code.PROTOCOL_ERROR, "a stream that depends on itself")
