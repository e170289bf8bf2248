"""The strings and long numbers of a JSON text, as they stand in its bytes: keys too, at any depth.

What is looked at is every string there is, not those that some API is known to have: so nothing is missed
in tool definitions, arguments, results, or a member that an API gets next year.
"""

import re
from collections.abc import Generator, Iterator
from typing import Final, NamedTuple

import msgspec

_NUMBER: Final = re.compile(rb"(?<![0-9.])-?[0-9]{7,}+(?![.eE])")
_OF_NUMBERS: Final = re.compile(rb"[0-9.eE+-]*+")
_AFTER: Final = re.compile(rb"[ \t\r\n]*:")
_INSIDE: Final = re.compile(rb'(?:[^"\\]|\\.)*+', re.DOTALL)
_LONG_GAP: Final = 9
_BLOCK: Final = 32 * 1024


def is_json(text: bytes) -> bool:
    """Whether it is one JSON value; nothing is made of it, so that it takes a millisecond a megabyte."""
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


class JsonText(NamedTuple):
    """One string, without its quotes, or one long number."""

    start: int
    end: int
    is_number: bool = False
    is_key: bool = False


def json_texts(text: bytes) -> Iterator[JsonText | None]:
    """In their order, and None where others may be let in. The text is valid JSON."""
    at = 0
    while True:
        quote = text.find(b'"', at)
        gap_end = len(text) if quote < 0 else quote
        while gap_end - at >= _LONG_GAP:
            end = min(at + _BLOCK, gap_end)
            rest = _OF_NUMBERS.match(text, end, gap_end)
            end = end if rest is None else rest.end()
            for number in _NUMBER.finditer(text, at, end):
                yield JsonText(number.start(), number.end(), is_number=True)
            at = end
            if at < gap_end:
                yield None
        if quote < 0:
            return
        end = text.find(b'"', quote + 1)
        if text.find(b"\\", quote + 1, end) >= 0:
            end = yield from _string_end(text, quote + 1)
        yield JsonText(quote + 1, end, is_key=_AFTER.match(text, end + 1) is not None)
        at = end + 1


def _string_end(text: bytes, start: int) -> Generator[None, None, int]:
    """Where the closing quote of a string with escapes is; in blocks, with pauses between them."""
    at = start
    while True:
        found = _INSIDE.match(text, at, at + _BLOCK)
        at = at if found is None else found.end()
        if text[at : at + 1] in (b'"', b""):
            return at
        yield
