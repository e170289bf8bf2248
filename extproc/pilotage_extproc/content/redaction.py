"""Placeholders in the place of values, spliced into a JSON body: every other byte stays as it was."""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import orjson

from pilotage_extproc.content.json_strings import json_texts
from pilotage_extproc.content.placeholders import LOOK_ALIKE, Placeholders
from pilotage_extproc.content.places import Place
from pilotage_extproc.content.scan import Found, Scan, Scanner
from pilotage_extproc.dialects.splice import Edit, edited

_MOST_PASSES: Final = 4


class StillThereError(Exception):
    """What replaces values makes new ones again and again."""


class Redacted:
    """A body, and how many values were replaced in it."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.replaced: int = 0


class Sighting(NamedTuple):
    """That a value of a kind stands at a byte of a body; nothing of the value."""

    kind: str
    at: int


def sightings(scan: Scan, into: list[Sighting]) -> Iterator[None]:
    """Steps that find out where the values of a scan stand, each once, in order."""
    seen: set[Sighting] = set()
    for one in scan.found:
        place, start, end = one.pieces[0]
        yield from place.prepared()
        seen.add(Sighting(one.kind, place.written(start, end)[0]))
    into += sorted(seen, key=lambda one: (one.at, one.kind))


class _Cut(NamedTuple):
    """Bytes of the body that go."""

    start: int
    end: int
    found: Found
    is_first: bool
    place: Place
    at: int
    """Where it begins in the text of the place."""
    stop: int
    """Where it ends there."""


def redaction(
    first: Scan, scanner: Scanner, names: Placeholders, kinds: frozenset[str], into: Redacted
) -> Iterator[None]:
    """Steps that replace the values of some kinds, until the scanner finds no more of them.

    `first` is what it has found in the body of `into`. Raises StillThereError, TooMuchToCheckError.
    """
    scan = first
    for _ in range(_MOST_PASSES):
        found = [one for one in scan.found if one.kind in kinds]
        cuts = list[_Cut]()
        for one in found:
            yield from _cuts(one, cuts)
        edits = _edits(cuts, names)
        into.replaced += sum(1 for edit in edits if edit.text)
        for one in scan.found:
            if one.kind == LOOK_ALIKE and not names.made(one.value.decode("latin-1")):
                yield from _cuts(one, escaped := list[_Cut]())
                edits += _escaped(escaped, edits)
        if not edits:
            return
        into.body = edited(into.body, edits)
        yield
        scan = Scan()
        yield from scanner.steps(into.body, scan)
    raise StillThereError


def _cuts(found: Found, into: list[_Cut]) -> Iterator[None]:
    for index, (place, start, end) in enumerate(found.pieces):
        yield from place.prepared()
        begin, stop = place.written(start, end)
        into.append(_Cut(begin, stop, found, index == 0, place, start, end))


def _edits(cuts: Iterable[_Cut], names: Placeholders) -> list[Edit]:
    """One edit for what overlaps."""
    edits: list[Edit] = []
    group: list[_Cut] = []
    for cut in sorted(cuts, key=lambda one: (one.start, -one.end)):
        if group and cut.start >= max(one.end for one in group):
            edits.append(_edit(group, names))
            group = []
        group.append(cut)
    if group:
        edits.append(_edit(group, names))
    return edits


def _edit(group: list[_Cut], names: Placeholders) -> Edit:
    start, end = group[0].start, max(one.end for one in group)
    firsts = [one for one in group if one.is_first]
    if not firsts:
        return Edit(start, end, b"")
    # of nested readings of the same bytes the innermost knows whether it stands in quotes
    leading = max(firsts, key=lambda one: (one.end - one.start, one.place.depth))
    values = sorted(
        {one.found.value for one in firsts if (one.start, one.end) == (leading.start, leading.end)}
    )
    if leading.end - leading.start < end - start:
        values = sorted({one.found.value for one in group})
    name = names.name(leading.found.kind, b"\x00".join(values), _original(group, leading, start, end))
    return Edit(start, end, _quoted(name.encode(), leading))


def _original(group: list[_Cut], leading: _Cut, start: int, end: int) -> str | None:
    """The text that goes, where it is of one place and nothing of it stands elsewhere."""
    if (leading.start, leading.end) != (start, end) or any(len(one.found.pieces) > 1 for one in group):
        return None
    return leading.place.text[leading.at : leading.stop].decode("utf-8", "replace")


def _quoted(name: bytes, cut: _Cut) -> bytes:
    """The name, in quotes where a number stood."""
    place = cut.place
    if place.is_number:
        return b'"%b"' % name
    if place.text[:1] in (b"{", b"[") and _is_bare(place.text, cut.at):
        quote = b"\\" * (2 ** (place.depth + 1) - 1) + b'"'
        return b"%b%b%b" % (quote, name, quote)
    return name


def _is_bare(text: bytes, at: int) -> bool:
    """Whether a byte of a JSON text is in none of its strings."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    for one in json_texts(text):
        if one is None:
            continue
        if one.start <= at < one.end:
            return one.is_number
        if one.start > at:
            break
    return True


def _escaped(cuts: list[_Cut], edits: list[Edit]) -> list[Edit]:
    """A look-alike in round brackets; nothing where it goes anyway."""
    made: list[Edit] = []
    taken = list(edits)
    for index, cut in enumerate(cuts):
        if any(cut.start < edit.end and edit.start < cut.end for edit in taken):
            continue
        text = cut.found.value.replace(b"[", b"(").replace(b"]", b")") if index == 0 else b""
        made.append(Edit(cut.start, cut.end, text))
    return made
