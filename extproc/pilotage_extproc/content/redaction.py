"""Placeholders in the place of values, spliced into a JSON body: every other byte stays as it was."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Final, NamedTuple

from pilotage_extproc.content.json_strings import is_json, json_texts
from pilotage_extproc.content.placeholders import LOOK_ALIKE, Placeholders
from pilotage_extproc.content.places import Place
from pilotage_extproc.content.scan import Found, Scan, Scanner
from pilotage_extproc.dialects.splice import Edit

_MOST_PASSES: Final = 4
_PAUSE_EVERY: Final = 256
_PAUSE_NAMES: Final = 32
"""Names are digests, of some microseconds each."""


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
    seen: dict[tuple[int, str], None] = {}
    for count, one in enumerate(scan.found, 1):
        place, start, end = one.pieces[0]
        yield from place.prepared()
        seen[place.written(start, end)[0], one.kind] = None
        if count % _PAUSE_EVERY == 0:
            yield
    for count, (at, kind) in enumerate(sorted(seen), 1):
        into.append(Sighting(kind, at))
        if count % _PAUSE_EVERY == 0:
            yield


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
        values, alike = list[_Cut](), list[_Cut]()
        strings = _StringsOfPlaces()
        for count, one in enumerate(scan.found, 1):
            if one.kind in kinds:
                yield from _cuts(one, values, strings)
            if count % _PAUSE_EVERY == 0:
                yield
        edits = list[Edit]()
        yield from _edits(values, names, strings, edits)
        into.replaced += sum(1 for edit in edits if edit.text)
        # behind the values: what stands for one of them is no look-alike
        for count, one in enumerate(scan.found, 1):
            if one.kind == LOOK_ALIKE and not names.made(one.value.decode("latin-1")):
                yield from _cuts(one, alike, strings)
            if count % _PAUSE_EVERY == 0:
                yield
        yield from _escaped(alike, edits)
        yield from _forgotten(values)
        yield from _forgotten(alike)
        yield from scan.forgotten()
        if not edits:
            return
        yield from _edited(into, edits)
        scan = Scan()
        yield from scanner.steps(into.body, scan)
    raise StillThereError


def _forgotten(cuts: list[_Cut]) -> Iterator[None]:
    while cuts:
        del cuts[-_PAUSE_EVERY:]
        yield


def _edited(into: Redacted, edits: list[Edit]) -> Iterator[None]:
    """Put edits into the body, as `splice.edited` does, with pauses."""
    parts: list[bytes] = []
    body, at = into.body, 0
    for count, (start, end, text) in enumerate(edits, 1):
        parts += (body[at:start], text)
        at = end
        if count % _PAUSE_EVERY == 0:
            yield
    parts.append(body[at:])
    into.body = b"".join(parts)
    yield


class _StringsOfPlaces:
    """Where strings stand in places that are JSON themselves; each is read once."""

    def __init__(self) -> None:
        self._known: dict[Place, tuple[list[int], list[int], list[bool]] | None] = {}

    def read(self, place: Place) -> Iterator[None]:
        """Steps that read a place, where that says more than that it is a string."""
        if place in self._known or place.is_number or place.text[:1] not in (b"{", b"["):
            return
        found: tuple[list[int], list[int], list[bool]] | None = None
        if is_json(place.text):
            found = ([], [], [])
            for count, one in enumerate(json_texts(place.text), 1):
                if one is not None:
                    found[0].append(one.start)
                    found[1].append(one.end)
                    found[2].append(one.is_number)
                if one is None or count % _PAUSE_EVERY == 0:
                    yield
        self._known[place] = found

    def whole(self, place: Place, start: int, end: int) -> tuple[int, int]:
        """The number that these bytes are of, with its sign; else the bytes themselves."""
        if place.is_number:
            return 0, len(place.text)
        found = self._known.get(place)
        if found is not None:
            starts, ends, are_numbers = found
            index = bisect_right(starts, start) - 1
            if index >= 0 and are_numbers[index] and start < ends[index]:
                return starts[index], max(end, ends[index])
        return start, end

    def is_bare(self, place: Place, at: int) -> bool:
        """Whether a byte of a place's text is in none of its strings, where that is JSON."""
        found = self._known.get(place)
        if found is None:
            return False
        starts, ends, are_numbers = found
        index = bisect_right(starts, at) - 1
        return index < 0 or at >= ends[index] or are_numbers[index]


def _cuts(found: Found, into: list[_Cut], strings: _StringsOfPlaces) -> Iterator[None]:
    for index, (place, start, end) in enumerate(found.pieces):
        yield from place.prepared()
        yield from strings.read(place)
        start, end = strings.whole(place, start, end)  # noqa: PLW2901 - what goes is all of it
        begin, stop = place.written(start, end)
        into.append(_Cut(begin, stop, found, index == 0, place, start, end))


def _edits(
    cuts: Sequence[_Cut], names: Placeholders, strings: _StringsOfPlaces, into: list[Edit]
) -> Iterator[None]:
    """Steps that make one edit for what overlaps, in order."""
    group: list[_Cut] = []
    end = 0
    for count, cut in enumerate(_in_order(cuts), 1):
        if group and cut.start >= end:
            into.append(_edit(group, end, names, strings))
            group = []
        end = max(end, cut.end)
        group.append(cut)
        if count % _PAUSE_NAMES == 0:
            yield
    if group:
        into.append(_edit(group, end, names, strings))


def _in_order(cuts: Sequence[_Cut]) -> Iterator[_Cut]:
    """As they stand in the body; of those that begin together the longest first."""
    places = sorted((cut.start, -cut.end, number) for number, cut in enumerate(cuts))
    return (cuts[number] for _, _, number in places)


def _edit(group: list[_Cut], end: int, names: Placeholders, strings: _StringsOfPlaces) -> Edit:
    start = group[0].start
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
    return Edit(start, end, _quoted(name.encode(), leading, strings))


def _original(group: list[_Cut], leading: _Cut, start: int, end: int) -> str | None:
    """The text that goes, where it is of one place and nothing of it stands elsewhere."""
    if (leading.start, leading.end) != (start, end) or any(len(one.found.pieces) > 1 for one in group):
        return None
    return leading.place.text[leading.at : leading.stop].decode("utf-8", "replace")


def _quoted(name: bytes, cut: _Cut, strings: _StringsOfPlaces) -> bytes:
    """The name, in quotes where a number stood."""
    place = cut.place
    if place.is_number:
        return b'"%b"' % name
    if strings.is_bare(place, cut.at):
        quote = b"\\" * (2 ** (place.depth + 1) - 1) + b'"'
        return b"%b%b%b" % (quote, name, quote)
    return name


def _escaped(cuts: Sequence[_Cut], edits: list[Edit]) -> Iterator[None]:
    """Steps that add look-alikes in round brackets to edits in order; nothing where they go anyway."""
    starts = [edit.start for edit in edits]
    made: list[Edit] = []
    end = 0
    for count, cut in enumerate(_in_order(cuts), 1):
        behind = bisect_right(starts, cut.start)
        inside = behind > 0 and cut.start < edits[behind - 1].end
        reaches = behind < len(edits) and edits[behind].start < cut.end
        if cut.start >= end and not inside and not reaches:
            text = cut.found.value.replace(b"[", b"(").replace(b"]", b")") if cut.is_first else b""
            made.append(Edit(cut.start, cut.end, text))
            end = cut.end
        if count % _PAUSE_EVERY == 0:
            yield
    if made:
        edits += made
        edits.sort(key=itemgetter(0))
