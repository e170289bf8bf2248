"""From a decoded string back to the bytes it was written as, through one JSON string or several."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

import orjson

_ESCAPE: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[0-9a-fA-F]{4}|\\u[0-9a-fA-F]{4}|\\.", re.DOTALL
)
_PAUSE_EVERY: Final = 4096


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
    ) -> None:
        """`raw` stands at `start` of the body, or of the text of `outer`; a plain one is no JSON."""
        self._raw = raw
        self.start = start
        self._outer = outer
        self.is_number = is_number
        self.depth: int = 0 if outer is None else outer.depth + 1
        """Strings that it is within."""
        escaped = not is_plain and b"\\" in raw
        self.text: bytes = orjson.loads(b'"%b"' % raw).encode() if escaped else raw
        self._table: tuple[list[int], list[int]] | None = None

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
        decoded, written = [0], [0]
        at = read = 0
        for count, found in enumerate(_ESCAPE.finditer(self._raw), 1):
            start, end = found.span()
            size = len(orjson.loads(b'"%b"' % found.group()).encode())
            read += start - at
            decoded += (read, read + size)
            written += (start, end)
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
