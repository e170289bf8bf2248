"""Heads of calls: header blocks decoded and judged, and the few that are sent."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from hpack import Decoder, HPACKError

from pilotage_extproc.transport.contract import Status
from pilotage_extproc.transport.frames import Code, ConnectionFault, StreamFault
from pilotage_extproc.transport.header_block import too_long

_MOST_KNOWN: Final = 128
_LONGEST_KNOWN: Final = 1_024
_MOST_SIZE_UPDATES: Final = 2  # RFC 7541 4.2: the least and the last are enough
_PSEUDO: Final = frozenset({":method", ":scheme", ":path", ":authority"})
_OF_ONE_CONNECTION: Final = frozenset(
    {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}
)
_UNITS: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}

# literals without indexing: the peer's table is never touched
_CONTENT_TYPE: Final = b"\x0f\x10"
_GRPC: Final = b"application/grpc"
RESPONSE: Final = b"\x88" + _CONTENT_TYPE + bytes((len(_GRPC),)) + _GRPC
TRAILERS_OK: Final = b"\x00\x0bgrpc-status\x010"


@dataclass(frozen=True, slots=True)
class Head:
    """A header block's meaning: a call's head, or its trailers."""

    path: str
    """`/service/method`; empty for trailers."""
    metadata: Mapping[str, str]
    is_grpc: bool
    timeout_seconds: float | None
    content_length: int | None
    fault: str
    """What is malformed; empty where nothing is."""
    is_trailers: bool
    opens: bool
    """Whether it is the faultless head of a call."""


class HeadReader:
    """Decodes a connection's header blocks. A block that was seen since the table changed is looked up."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._decoder = Decoder(max_header_list_size=most_bytes)
        self._known: OrderedDict[bytes, Head] = OrderedDict()
        self.hits = 0

    def read(self, block: bytes) -> Head:
        """Raises ConnectionFault where the block is too long, or cannot be decoded: the table is unknown."""
        known = self._known.get(block)
        if known is not None:
            self.hits += 1
            return known
        if len(block) > self._most_bytes:
            raise too_long()
        if _size_updates(block) > _MOST_SIZE_UPDATES:
            raise ConnectionFault(Code.COMPRESSION_ERROR, "too many changes of the header table's size")
        table = self._decoder.header_table
        before = _state(table)
        try:
            fields = self._decoder.decode(block, raw=True)
        except HPACKError as error:
            raise ConnectionFault(Code.COMPRESSION_ERROR, "a header block cannot be decoded") from error
        head = _judged([(_text(name), _text(value)) for name, value in fields])
        now = _state(table)
        if now[0] is not before[0] or now[1:] != before[1:]:
            self._known.clear()  # the same bytes may mean something else from here on
        elif len(block) <= _LONGEST_KNOWN:
            if len(self._known) >= _MOST_KNOWN:
                self._known.popitem(last=False)
            self._known[block] = head
        return head


def _state(table: object) -> tuple[object, int, int]:
    """What tells that a table changed: an entry that comes in is always the first, and a new object."""
    entries = table.dynamic_entries  # type: ignore[attr-defined]
    return (entries[0] if entries else None), len(entries), table.maxsize  # type: ignore[attr-defined]


def _size_updates(block: bytes) -> int:
    count = at = 0
    while at < len(block) and block[at] & 0xE0 == 0x20 and count <= _MOST_SIZE_UPDATES:
        count += 1
        long = block[at] & 0x1F == 0x1F
        at += 1
        while long and at < len(block) and block[at] & 0x80:
            at += 1
        at += long
    return count


def _text(raw: bytes) -> str:
    return str(raw, "latin-1")


def _judged(fields: list[tuple[str, str]]) -> Head:
    pseudo: dict[str, str] = {}
    metadata: dict[str, str] = {}
    fault = ""
    for name, value in fields:
        if name.startswith(":"):
            if name not in _PSEUDO:
                fault = fault or f"pseudo-header {name[:40]!r}"
            elif metadata:
                fault = fault or "a pseudo-header after others"
            elif name in pseudo:
                fault = fault or "a pseudo-header twice"
            pseudo[name] = value
            continue
        if not name or name != name.lower() or _has_control(name) or " " in name:
            fault = fault or "a header name that is none"
        elif _has_control(value):
            fault = fault or f"a control character in {name!r}"
        elif name in _OF_ONE_CONNECTION or (name == "te" and value != "trailers"):
            fault = fault or f"header {name!r}, which belongs to HTTP/1"
        metadata[name] = f"{metadata[name]},{value}" if name in metadata else value
    is_trailers = not pseudo
    if not is_trailers and not fault:
        fault = _pseudo_fault(pseudo)
    length = metadata.get("content-length")
    if length is not None and not (length.isascii() and length.isdigit() and len(length) < 19):
        fault = fault or "a content-length that is none"
        length = None
    return Head(
        path=pseudo.get(":path", ""),
        metadata=MappingProxyType(metadata),
        is_grpc=pseudo.get(":method") == "POST" and _is_grpc(metadata.get("content-type", "")),
        timeout_seconds=_timeout(metadata.get("grpc-timeout")),
        content_length=None if length is None else int(length),
        fault=fault,
        is_trailers=is_trailers,
        opens=not is_trailers and not fault,
    )


def _pseudo_fault(pseudo: Mapping[str, str]) -> str:
    for name in (":method", ":scheme", ":path"):
        if not pseudo.get(name):
            return f"no {name}"
    return ""


def _has_control(text: str) -> bool:
    return not text.isprintable() and any(ch in text for ch in "\r\n\0")


def _is_grpc(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip()
    return kind == "application/grpc" or kind.startswith("application/grpc+")


def _timeout(text: str | None) -> float | None:
    """`grpc-timeout`: up to eight digits and a unit; another is taken for none."""
    if not text or not text[:-1].isascii() or not text[:-1].isdigit() or len(text) > 9:
        return None
    unit = _UNITS.get(text[-1])
    return None if unit is None else int(text[:-1]) * unit


def check(head: Head, *, trailers: bool) -> None:
    """Raises StreamFault where the block is malformed, or is the other kind."""
    if head.fault:
        raise StreamFault(Code.PROTOCOL_ERROR, head.fault)
    if head.is_trailers is not trailers:
        reason = "trailers with pseudo-headers" if trailers else "a head without pseudo-headers"
        raise StreamFault(Code.PROTOCOL_ERROR, reason)


def trailers(status: Status, details: str) -> bytes:
    """The block that ends a call."""
    if status is Status.OK:
        return TRAILERS_OK
    block = _literal(b"grpc-status", str(int(status)).encode())
    if details:
        block += _literal(b"grpc-message", _percent(details))
    return block


def _literal(name: bytes, value: bytes) -> bytes:
    return b"\x00" + bytes((len(name),)) + name + bytes((len(value),)) + value


def _plain_answer(status: bytes, length: int) -> bytes:
    text = b"text/plain; charset=utf-8"
    head = b"\x08\x03" + status + _CONTENT_TYPE + bytes((len(text),)) + text
    return head + _literal(b"content-length", str(length).encode())


def _percent(details: str) -> bytes:
    """As gRPC asks, and short enough that its length is one byte."""
    kept = bytearray()
    for byte in details.encode()[:300]:
        more = b"%c" % byte if 0x20 <= byte <= 0x7E and byte != 0x25 else b"%%%02X" % byte
        if len(kept) + len(more) > 120:
            break
        kept += more
    return bytes(kept)


NOT_GRPC: Final = b"This port speaks gRPC: POST with content-type application/grpc.\n"
NOT_GRPC_HEAD: Final = _plain_answer(b"415", len(NOT_GRPC))
"""The answer to what is no gRPC call."""
