"""Protobuf written by hand, for the few messages of which every request needs one.

Wire format: https://protobuf.dev/programming-guides/encoding/. Tests compare each with the message classes.
"""

import struct
from collections.abc import Callable
from typing import Any

_MOST_KEPT = 4096
_LONGEST_VARINT = 5
"""Bytes of a length below 4 GiB."""
OVERWRITE_ACTION = b"\x18\x02"  # HeaderValueOption.append_action (3): OVERWRITE_IF_EXISTS_OR_ADD


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited field."""
    length = len(payload)
    if length < 128:
        return bytes((number << 3 | 2, length)) + payload
    return bytes((number << 3 | 2,)) + varint(length) + payload


def begun(number: int, length: int) -> bytes:
    """What stands before the content of a length-delimited field."""
    return bytes((number << 3 | 2,)) + varint(length)


def read_varint(raw: bytes, at: int) -> tuple[int, int]:
    """A number, and where it ends; where the bytes are none, an end that is beyond them."""
    value = shift = 0
    for position in range(at, min(len(raw), at + _LONGEST_VARINT)):
        byte = raw[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position + 1
        shift += 7
    return 0, len(raw) + 1


def varint(value: int) -> bytes:
    """A number, seven bits a byte."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def set_header(name: str, value: str) -> bytes:
    """HeaderMutation.set_headers (1): HeaderValueOption of HeaderValue key (1), raw_value (3)."""
    header = field(1, name.encode()) + field(3, value.encode())
    return field(1, field(1, header) + OVERWRITE_ACTION)


def remove_header(name: str) -> bytes:
    """HeaderMutation.remove_headers (2)."""
    return field(2, name.encode())


def struct_entry(key: str, value: bytes) -> bytes:
    """Struct.fields (1): a map entry of key (1) and Value (2)."""
    return field(1, field(1, key.encode()) + field(2, value))


def string_value(text: str) -> bytes:
    """Value.string_value (3)."""
    return field(3, text.encode())


def number_value(number: float) -> bytes:
    """Value.number_value (2), a double."""
    return b"\x11" + struct.pack("<d", number)


def struct_value(entries: bytes) -> bytes:
    """Value.struct_value (5)."""
    return field(5, entries)


class Kept(dict[Any, bytes]):
    """Bytes by what they are made from; forgotten all at once when they are too many."""

    def __init__(self, make: Callable[[Any], bytes]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: Any) -> bytes:
        if len(self) >= _MOST_KEPT:
            self.clear()
        made = self[key] = self._make(key)
        return made
