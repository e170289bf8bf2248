"""The strings and long numbers of a JSON text, as they stand in its bytes: keys too, at any depth.

What is looked at is every string there is, not those that some API is known to have: so nothing is missed
in tool definitions, arguments, results, or a member that an API gets next year.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_NUMBER: Final = re.compile(rb"(?<![0-9.])-?[0-9]{7,}+(?![.eE])")
_AFTER: Final = re.compile(rb"[ \t\r\n]*:")
_LONG_GAP: Final = 9
_NEAR: Final = 64


class JsonText(NamedTuple):
    """One string, without its quotes, or one long number."""

    start: int
    end: int
    is_number: bool = False
    is_key: bool = False


def json_texts(text: bytes) -> Iterator[JsonText]:
    """In their order. The text is valid JSON."""
    at = 0
    while True:
        quote = text.find(b'"', at)
        gap_end = len(text) if quote < 0 else quote
        if gap_end - at >= _LONG_GAP:
            for number in _NUMBER.finditer(text, at, gap_end):
                yield JsonText(number.start(), number.end(), is_number=True)
        if quote < 0:
            return
        end = _string_end(text, quote + 1)
        yield JsonText(quote + 1, end, is_key=_AFTER.match(text, end + 1) is not None)
        at = end + 1


def _string_end(text: bytes, start: int) -> int:
    """Where the closing quote is."""
    end = start
    while True:
        end = text.find(b'"', end)
        if end < 0:
            return len(text)
        if text[end - 1] != 0x5C or not _is_escaped(text, start, end):
            return end
        end += 1


def _is_escaped(text: bytes, start: int, quote: int) -> bool:
    """Whether the backslashes before a quote are odd in number."""
    near = text[max(start, quote - _NEAR) : quote]
    kept = near.rstrip(b"\\")
    if not kept and len(near) == _NEAR:
        near = text[start:quote]
        kept = near.rstrip(b"\\")
    return (len(near) - len(kept)) % 2 == 1
