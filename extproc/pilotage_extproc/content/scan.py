"""Looking for values in a JSON body, in short turns: what was found, and where it stands.

Short strings are looked at together, long ones in slices that overlap; what stands apart in neighbouring
parts of text of one message is looked at as one. JSON within a string (arguments of tools) and whole tokens
in base64 are decoded.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

import orjson

from pilotage_extproc.content.base64_tokens import base64_text, readings
from pilotage_extproc.content.folding import Breaks, Folding
from pilotage_extproc.content.json_strings import is_json, json_texts
from pilotage_extproc.content.parts_run import PartsRun
from pilotage_extproc.content.patterns import compiled
from pilotage_extproc.content.places import LONG_BYTES, Place, long_place
from pilotage_extproc.content.spans import Detector

_SLICE: Final = 16 * 1024
_OVERLAP: Final = 1024
_MOST_READ_AGAIN: Final = 128
"""Parts of text, however short."""
_OF_STRING: Final = 32
"""Bytes that a string counts for beside its own: it takes time however short it is."""
_DEEPEST: Final = 3
_PAUSE_STRINGS: Final = 128
_LONGEST_WORD: Final = 16
_EDGE: Final = 256
"""Bytes of each part's end that are read together with the next one's beginning."""
_MOST_PAUSES: Final = 4000
"""Of one body, 32 candidates each: no text that people write has as many."""
MOST_FOUND: Final = 8192
"""Values of one body."""
_PAUSE_FOUND: Final = 32
_MOST_TOKEN: Final = 4096
"""Characters of one token in base64 that is decoded."""
_SAYS_NOTHING: Final = frozenset((
    b"text", b"type", b"input_text", b"output_text", b"cache_control", b"ephemeral", b"ttl", b"5m", b"1h",
    b"role", b"user", b"assistant", b"system", b"tool", b"developer", b"content", b"messages", b"model",
    b"function", b"name", b"description", b"parameters", b"properties", b"object", b"string", b"stream",
    b"required", b"max_tokens", b"temperature", b"tools", b"id", b"input", b"arguments", b"tool_calls",
))  # fmt: skip
_BREAK: Final = b"\x00"


class Piece(NamedTuple):
    """Bytes of one place."""

    place: Place
    start: int
    end: int


class Found(NamedTuple):
    """One value, in one piece or several; holds nothing of its text beyond the digest of it."""

    kind: str
    pieces: tuple[Piece, ...]
    value: bytes
    """As detectors read it; kept until the request has been decided."""


class TooMuchToCheckError(Exception):
    """The body has more that looks like a value than is checked."""


class Scan:
    """What a scan has found so far."""

    def __init__(self) -> None:
        self.found: list[Found] = []
        self._seen: set[tuple[str, int, int, int]] = set()
        self._pauses = 0

    def add(self, kind: str, pieces: tuple[Piece, ...], value: bytes) -> None:
        """One value; once, though slices overlap."""
        if not pieces:
            return
        place, start, end = pieces[0]
        key = (kind, id(place), start, end)
        if key not in self._seen:
            self._seen.add(key)
            if len(self.found) >= MOST_FOUND:
                raise TooMuchToCheckError
            self.found.append(Found(kind, pieces, value))

    def forgotten(self) -> Iterator[None]:
        """Steps that let go of what was found: freeing all of it at once would hold others up."""
        self._seen.clear()
        while self.found:
            del self.found[-_PAUSE_STRINGS:]
            yield

    def pause(self) -> None:
        """Some candidates have been checked. Raises TooMuchToCheckError where they become too many."""
        self._pauses += 1
        if self._pauses > _MOST_PAUSES:
            raise TooMuchToCheckError


class Scanner:
    """Looks for what some detectors find."""

    def __init__(self, detectors: Sequence[Detector], folding: Folding) -> None:
        self._detectors = tuple(detectors)
        self._folding = folding
        self._tokens = compiled(r"[A-Za-z0-9+/_-]{20,}={0,2}")

    def steps(self, body: bytes, scan: Scan) -> Iterator[None]:
        """Scan a valid JSON body, with a pause after each piece of work of about a millisecond.

        Raises TooMuchToCheckError.
        """
        chunk, run = _Chunk(), PartsRun()
        is_part = False
        for count, one in enumerate(json_texts(body), 1):
            if one is None or count % _PAUSE_STRINGS == 0:
                yield
            if one is None:
                continue
            word = body[one.start : one.end] if one.end - one.start < _LONGEST_WORD else None
            was_part, is_part = is_part, word == b"text" and one.is_key
            if run.places and not run.goes_on(body, one.start):
                yield from self._across(run.places, scan)
                run = PartsRun()
            run.end = one.end
            if one.end == one.start or word in _SAYS_NOTHING:
                continue
            raw = body[one.start : one.end]
            if len(raw) < LONG_BYTES:
                place = Place(raw, one.start, is_number=one.is_number)
            else:
                place = yield from long_place(raw, one.start)
            chunk.add(place)
            if was_part and run.level == 0:
                run.places.append(place)
            if chunk.size >= _SLICE:
                yield from self._read(chunk, scan)
                chunk = _Chunk()
            yield from self._nested(place, scan)
        yield from self._read(chunk, scan)
        yield from self._across(run.places, scan)

    def text_steps(self, text: bytes, scan: Scan) -> Iterator[None]:
        """Scan a text that is no JSON; pieces found are of it. Raises TooMuchToCheckError."""
        chunk = _Chunk()
        chunk.add(Place(text, 0, is_plain=True))
        yield from self._read(chunk, scan)

    def _across(self, run: list[Place], scan: Scan) -> Iterator[None]:
        """What stands partly in one part of text and partly in the next."""
        if len(run) < 2:
            return
        chunk = _Chunk()
        for count, place in enumerate(run, 1):
            chunk.read_on(place)
            if count % _PAUSE_STRINGS == 0:
                yield
        for slice_ in chunk.slices(self._folding):
            yield from self._detect(slice_, scan, across=True)
            yield

    def _nested(self, place: Place, scan: Scan) -> Iterator[None]:
        """JSON within a string, as far as it is written with escapes there again."""
        if place.depth >= _DEEPEST or b"\\" not in place.text or place.text[:1] not in (b"{", b"["):
            return
        if not is_json(place.text):
            return
        yield
        chunk = _Chunk()
        for count, one in enumerate(json_texts(place.text), 1):
            if one is None or count % _PAUSE_STRINGS == 0:
                yield
            if one is None:
                continue
            raw = place.text[one.start : one.end]
            if b"\\" in raw:
                try:
                    inner = (
                        Place(raw, one.start, place)
                        if len(raw) < LONG_BYTES
                        else (yield from long_place(raw, one.start, place))
                    )
                except orjson.JSONDecodeError:
                    continue  # another parser took it
                chunk.add(inner)
                if chunk.size >= _SLICE:
                    yield from self._read(chunk, scan)
                    chunk = _Chunk()
                yield from self._nested(inner, scan)
        yield from self._read(chunk, scan)

    def _read(self, chunk: "_Chunk", scan: Scan) -> Iterator[None]:
        for slice_ in chunk.slices(self._folding):
            yield from self._detect(slice_, scan)
            yield

    def _detect(self, slice_: "_Slice", scan: Scan, *, across: bool = False) -> Iterator[None]:
        text = slice_.text
        count = 0
        for detector in self._detectors:
            for span in detector.find(text):
                count += 1
                if count % _PAUSE_FOUND == 0:
                    yield
                if span is None:
                    scan.pause()
                    yield
                elif span.end < len(text) or slice_.is_last or span.start < len(text) - _OVERLAP:
                    pieces = slice_.pieces_of(span.start, span.end)
                    if len(pieces) > across:
                        scan.add(detector.name, pieces, text[span.start : span.end])
        if not across:
            yield from self._decoded(slice_, scan)

    def _decoded(self, slice_: "_Slice", scan: Scan) -> Iterator[None]:
        """Whole tokens that are text in base64."""
        text = slice_.text
        tokens: list[tuple[int, int]] = []
        texts: list[bytes] = []
        begins = [0]
        for count, found in enumerate(self._tokens.finditer(text), 1):
            if count % 256 == 0:
                yield
            for start, end in readings(text, *found.span()):
                plain = base64_text(text[start:end]) if end - start <= _MOST_TOKEN else None
                if plain is not None:
                    tokens.append((start, end))
                    texts.append(plain)
                    begins.append(begins[-1] + len(plain) + 1)
                    break
        if not tokens:
            return
        decoded = _BREAK.join(texts)
        for detector in self._detectors:
            for span in detector.find(decoded):
                if span is None:
                    scan.pause()
                    yield
                    continue
                pieces = slice_.pieces_of(*tokens[bisect_right(begins, span.start) - 1])
                scan.add(detector.name, pieces, decoded[span.start : span.end])


class _Part(NamedTuple):
    """What one piece becomes in a slice."""

    at: int
    text: bytes
    piece: Piece
    original: bytes | None
    """Where it was folded."""


def _part(at: int, piece: Piece, folding: Folding) -> _Part:
    piece = _on_boundaries(piece)
    original = piece.place.text[piece.start : piece.end]
    if original.isascii():
        return _Part(at, original, piece, None)
    return _Part(at, folding.folded(original), piece, original)


def _begin(part: _Part) -> int:
    return part.at


class _Slice(NamedTuple):
    """A text to look at at once, folded, and what it is made of."""

    text: bytes
    parts: "tuple[_Part, ...]"
    is_last: bool
    folding: Folding
    breaks: dict[int, Breaks]
    """Of parts that are folded, by where they begin: made when a value is found there."""

    def pieces_of(self, start: int, end: int) -> tuple[Piece, ...]:
        """Where bytes of the text stand."""
        found: list[Piece] = []
        first = bisect_right(self.parts, start, key=_begin) - 1
        for at, text, piece, original in islice(self.parts, max(0, first), None):
            stop = at + len(text)
            if at >= end:
                break
            if stop <= start:
                continue
            begin, finish = max(start, at) - at, min(end, stop) - at
            if original is not None:
                known = self.breaks.get(at)
                if known is None:
                    known = self.breaks[at] = self.folding.breaks(original)
                begin, finish = known.span(begin, finish)
            if begin < finish:
                found.append(Piece(piece.place, piece.start + begin, piece.start + finish))
        return tuple(found)


class _Chunk:
    """Strings that are looked at together."""

    def __init__(self) -> None:
        self._pieces: list[Piece | None] = []
        self.size = 0

    def add(self, place: Place) -> None:
        """One more string."""
        if self._pieces:
            self._pieces.append(None)
        for start in range(0, max(1, len(place.text)), _SLICE):
            self._pieces.append(Piece(place, start, min(start + _SLICE, len(place.text))))
        self.size += len(place.text) + _OF_STRING

    def read_on(self, place: Place) -> None:
        """A part that is read on from the one before; of a long one its ends alone."""
        size = len(place.text)
        if size <= 2 * _EDGE:
            self._pieces.append(Piece(place, 0, size))
        else:
            self._pieces += (Piece(place, 0, _EDGE), None, Piece(place, size - _EDGE, size))

    def _read_again(self, index: int) -> list[Piece]:
        """What a slice begins with that comes behind this piece: the end of it, and of what it goes on."""
        found: list[Piece] = []
        size = 0
        while index >= 0 and size < _OVERLAP and len(found) < _MOST_READ_AGAIN:
            piece = self._pieces[index]
            if piece is None:
                break
            found.append(piece._replace(start=max(piece.start, piece.end - _OVERLAP + size)))
            size += piece.end - piece.start
            index -= 1
        return found[::-1]

    def slices(self, folding: Folding) -> Iterator[_Slice]:
        """What is looked at at once: some 16 KiB, each beginning with the end of the one before."""
        parts: list[_Part] = []
        texts: list[bytes] = []
        size = fresh = 0
        for index, piece in enumerate(self._pieces):
            if piece is None:
                texts.append(_BREAK)
                size += 1
                continue
            part = _part(size, piece, folding)
            text = part.text
            parts.append(part)
            texts.append(text)
            size += len(text)
            fresh += len(text) + _OF_STRING
            if fresh >= _SLICE and index + 1 < len(self._pieces):
                yield _Slice(b"".join(texts), tuple(parts), False, folding, {})
                parts, texts, size, fresh = [], [], 0, 0
                for last in self._read_again(index):
                    part = _part(size, last, folding)
                    parts.append(part)
                    texts.append(part.text)
                    size += len(part.text)
        if texts:
            yield _Slice(b"".join(texts), tuple(parts), True, folding, {})


def _on_boundaries(piece: Piece) -> Piece:
    """The piece without halves of characters: what is cut off is the other piece's."""
    text, start, end = piece.place.text, piece.start, piece.end
    while start > 0 and start < len(text) and text[start] & 0xC0 == 0x80:
        start -= 1
    while end < len(text) and end > start and text[end] & 0xC0 == 0x80:
        end -= 1
    return Piece(piece.place, start, end)
