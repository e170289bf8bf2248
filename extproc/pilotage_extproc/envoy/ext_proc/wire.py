"""Protobuf written by hand, for the few messages of which every request needs one.

Wire format: https://protobuf.dev/programming-guides/encoding/. Tests compare each with the message classes.
"""

import struct
from collections.abc import Callable
from typing import TypeVar

Key = TypeVar("Key")
Made = TypeVar("Made")

_MOST_KEPT = 4096
_LONGEST_VARINT = 5
"""Bytes of a length below 4 GiB."""
OVERWRITE_ACTION = b"\x18\x02"  # HeaderValueOption.append_action (3): OVERWRITE_IF_EXISTS_OR_ADD


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited field."""
    return begun(number, len(payload)) + payload


def begun(number: int, length: int) -> bytes:
    """What stands before the content of a length-delimited field."""
    tag = number << 3 | 2
    if length < 1 << 7:
        return bytes((tag, length))
    if length < 1 << 14:
        return bytes((tag, length & 127 | 128, length >> 7))
    if length < 1 << 21:
        return bytes((tag, length & 127 | 128, length >> 7 & 127 | 128, length >> 14))
    return bytes((tag,)) + varint(length)


def read_varint(raw: bytes, at: int) -> tuple[int, int]:
    """A number, and where it ends; where the bytes are none, an end that is beyond them."""
    if at + 2 < len(raw):  # as short as most are
        first, second, third = raw[at], raw[at + 1], raw[at + 2]
        if first < 0x80:
            return first, at + 1
        if second < 0x80:
            return first & 0x7F | second << 7, at + 2
        if third < 0x80:
            return first & 0x7F | (second & 0x7F) << 7 | third << 14, at + 3
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


class Kept(dict[Key, Made]):
    """What is made from a few things, by these; forgotten all at once when it is too many."""

    def __init__(self, make: Callable[[Key], Made]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: Key) -> Made:
        if len(self) >= _MOST_KEPT:
            self.clear()
        made = self[key] = self._make(key)
        return made
