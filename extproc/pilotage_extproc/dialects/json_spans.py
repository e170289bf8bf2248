"""Where values stand in the bytes of a valid JSON text."""

import re
from collections.abc import Iterator
from typing import Final

from pilotage_extproc.dialects.splice import Edit

_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},]', re.DOTALL)
_BLANK: Final = b" \t\r\n"
_PAUSE_EVERY: Final = 2000

Span = tuple[int, int]


def spans_within(text: bytes, start: int, into: list[Span]) -> Iterator[None]:
    """Steps that find what stands in the list or object that begins there, up to its commas.

    Of an object `"name": value` pairs. The last span found is that of the list or object itself.
    """
    depth, begin = 0, start + 1
    for count, found in enumerate(_TOKEN.finditer(text, start), 1):
        if count % _PAUSE_EVERY == 0:
            yield
        sign = text[found.start()]
        if sign in b"[{":
            depth += 1
        elif sign in b"]}":
            depth -= 1
            if depth == 0:
                _add(text, begin, found.start(), into)
                into.append((start, found.end()))
                return
        elif sign == 0x2C and depth == 1:
            _add(text, begin, found.start(), into)
            begin = found.end()


def _add(text: bytes, start: int, end: int, into: list[Span]) -> None:
    """The span without the blanks around it; nothing where there is nothing else."""
    raw = text[start:end]
    if raw.strip(_BLANK):
        left = len(raw) - len(raw.lstrip(_BLANK))
        into.append((start + left, start + len(raw.rstrip(_BLANK))))


def removals(spans: list[Span], gone: set[int]) -> list[Edit]:
    """Edits that take some items out of a list, each with one comma. At least one item is left."""
    edits: list[Edit] = []
    kept_before = False
    for index, (start, end) in enumerate(spans):
        if index not in gone:
            kept_before = True
        elif kept_before:
            edits.append(Edit(spans[index - 1][1], end, b""))
        else:
            edits.append(Edit(start, spans[index + 1][0], b""))
    return edits
