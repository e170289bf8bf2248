"""From a decoded string back to the bytes it was written as, through one JSON string or several."""

import re
from array import array
from bisect import bisect_right
from collections.abc import Generator, Iterator
from typing import Final

import orjson

_ESCAPE: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[0-9a-fA-F]{4}|\\u[0-9a-fA-F]{4}|\\.", re.DOTALL
)
_PAUSE_EVERY: Final = 512
LONG_BYTES: Final = 32 * 1024
"""From so many on a string is read in blocks (`long_place`)."""
_BLOCK: Final = re.compile(
    rb"(?:[^\\]|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[0-9a-fA-F]{4}|\\u(?![dD][89abAB])[0-9a-fA-F]{4}|\\[^u])*+",
    re.DOTALL,
)
"""Whole characters, however they are written."""


def _read(raw: bytes) -> bytes:
    text: str = orjson.loads(b'"%b"' % raw)
    return text.encode()


def long_place(raw: bytes, start: int, outer: "Place | None" = None) -> Generator[None, None, "Place"]:
    """The place of a long string, read in steps. Raises orjson.JSONDecodeError for what is no string."""
    if b"\\" not in raw:
        return Place(raw, start, outer)
    parts: list[bytes] = []
    at = 0
    while at < len(raw):
        until = min(at + LONG_BYTES, len(raw))
        while until < len(raw) and raw[until] & 0xC0 == 0x80:
            until += 1
        found = _BLOCK.match(raw, at, until)
        end = at if found is None else found.end()
        if end == at:  # no escape that there is: what reads it says so
            end = len(raw)
        parts.append(_read(raw[at:end]))
        at = end
        yield
    return Place(raw, start, outer, text=b"".join(parts))


class Place:
    """One string's text, and where it stands in the body."""

    __slots__ = ("_outer", "_raw", "_table", "depth", "is_number", "start", "text")

    def __init__(
        self,
        raw: bytes,
        start: int,
        outer: "Place | None" = None,
        *,
        is_number: bool = False,
        is_plain: bool = False,
        text: bytes | None = None,
    ) -> None:
        """`raw` stands at `start` of the body, or of the text of `outer`; a plain one is no JSON.

        `text` is what it reads, where that is known. Raises orjson.JSONDecodeError for what is no string.
        """
        self._raw = raw
        self.start = start
        self._outer = outer
        self.is_number = is_number
        self.depth: int = 0 if outer is None else outer.depth + 1
        """Strings that it is within."""
        escaped = not is_plain and text is None and b"\\" in raw
        self.text: bytes = _read(raw) if escaped else raw if text is None else text
        self._table: tuple[array[int], array[int]] | None = None

    @property
    def is_escaped(self) -> bool:
        """Whether it is not written as it reads."""
        return self.text is not self._raw

    def prepared(self) -> Iterator[None]:
        """Make ready to find bytes of it, with pauses."""
        if self._outer is not None:
            yield from self._outer.prepared()
        if not self.is_escaped or self._table is not None:
            return
        decoded, written = array("Q", (0,)), array("Q", (0,))
        at = read = 0
        for count, found in enumerate(_ESCAPE.finditer(self._raw), 1):
            start, end = found.span()
            size = 1 if end - start == 2 else len(_read(found.group()))
            read += start - at
            decoded.append(read)
            decoded.append(read + size)
            written.append(start)
            written.append(end)
            read += size
            at = end
            if count % _PAUSE_EVERY == 0:
                yield
        self._table = (decoded, written)

    def written(self, start: int, end: int) -> tuple[int, int]:
        """Where bytes `start` to `end` of its text stand in the body; once it is prepared.

        Of an escaped character all of it.
        """
        begin, stop = self._at(start), self._at(end, last=True)
        if self._outer is not None:
            return self._outer.written(begin + self.start, stop + self.start)
        return begin + self.start, stop + self.start

    def _at(self, offset: int, *, last: bool = False) -> int:
        if self._table is None:
            return offset
        decoded, written = self._table
        index = bisect_right(decoded, offset) - 1
        beyond = offset - decoded[index]
        if index % 2 == 0:  # plain bytes follow an escape, or the beginning
            return written[index] + beyond
        return written[index] if not beyond or not last else written[index + 1]
