"""A text that comes in pieces, looked at through a window: what may become a value is held back."""

from collections.abc import Generator, Iterator
from typing import Final, NamedTuple

from pilotage_extproc.content.answers.rules import AnswerRules, FoundInAnswer
from pilotage_extproc.content.placeholders import Placeholders
from pilotage_extproc.content.redaction import StillThereError
from pilotage_extproc.content.scan import Found, Scan

_MOST_PASSES: Final = 4
_BEFORE_BYTES: Final = 128
"""Of what has gone on: words that say what a number is stand there."""


class _Span(NamedTuple):
    start: int
    end: int
    kind: str
    value: bytes


class TextWindow:
    """One text of an answer."""

    def __init__(self, rules: AnswerRules, names: Placeholders, found: FoundInAnswer) -> None:
        self._rules = rules
        self._names = names
        self._found = found
        self._seen = b""
        """The end of what has gone on; of a value too long for the window its beginning."""
        self._held = ""

    def given_up(self) -> str:
        """What is held back, as it came."""
        held, self._held = self._held, ""
        return held

    def feed(self, text: str, out: list[str], *, last: bool = False) -> Iterator[None]:
        """Steps that put into `out` what may go on; behind the `last` piece nothing is held back.

        Raises AnswerBlockedError, TooMuchToCheckError, StillThereError.
        """
        self._held += text
        held, rules = self._held, self._rules
        if not held:
            return
        begin = len(held) if last else self._begin(held)
        raw = held.encode("utf-8", "replace")
        if begin == 0 and len(raw) <= rules.window:
            return
        whole, before = self._seen + raw, len(self._seen)
        scan = Scan()
        if rules.may_find(whole):
            yield from rules.scanner.text_steps(whole, scan)
        spans = sorted(map(_span, scan.found))
        cut = before + len(held[:begin].encode("utf-8", "replace"))
        cut, too_long = self._cut(whole, before, cut, spans, last=last)
        if cut == before:
            return
        self._held = whole[cut:].decode("utf-8", "replace")
        released = self._released(whole, before, cut, spans)
        # where a value that began before is over, what stood before it says nothing any more
        seen = b"" if any(span.start < before < span.end <= cut for span in spans) else self._seen
        if released != whole[before:cut]:
            released = yield from self._again(seen, released)
        out.append(released.decode("utf-8", "replace"))
        if too_long is None:
            self._seen = (seen + released)[-_BEFORE_BYTES:].lstrip(_CONTINUED)
        else:
            self._seen = whole[too_long:cut][: rules.window]

    def _again(self, seen: bytes, released: bytes) -> Generator[None, None, bytes]:
        """Without what a detector sees only when the value before it is gone. Raises StillThereError."""
        for _ in range(_MOST_PASSES):
            yield from self._rules.scanner.text_steps(whole := seen + released, scan := Scan())
            spans = [one for one in map(_span, scan.found) if self._rules.actions[one.kind] != "flag"]
            changed = self._released(whole, len(seen), len(whole), sorted(spans))
            if changed == released:
                return released
            released = changed
        raise StillThereError

    def _begin(self, held: str) -> int:
        """The first character that may be of a value that goes on."""
        if held.isascii():
            return self._rules.opens.begin(held)
        folded, places = self._rules.folding.chars(held)
        begin = self._rules.opens.begin(folded)
        return places[begin] if begin < len(places) else len(held)

    def _cut(
        self, whole: bytes, before: int, cut: int, spans: list[_Span], *, last: bool
    ) -> tuple[int, int | None]:
        """Where what goes on ends, and where a value begins that is cut there since it is too long."""
        if last:
            return len(whole), None
        window = self._rules.window
        for span in reversed(spans):
            if span.start < cut < span.end or span.end == len(whole):
                cut = min(cut, max(span.start, before))
        if len(whole) - cut <= window:
            return cut, None
        cut = _on_boundary(whole, len(whole) - window)
        too_long = None
        for span in spans:
            if span.start < cut and span.end > cut:
                cut = span.end
                too_long = span.start if cut == len(whole) else None
        return cut, too_long

    def _released(self, whole: bytes, before: int, cut: int, spans: list[_Span]) -> bytes:
        """What goes on, with placeholders in it."""
        parts: list[bytes] = []
        at = before
        for span in spans:
            if span.end > cut or span.end <= before:
                continue
            if span.start >= before or span.kind not in self._rules.redacted:
                self._found.saw(span.kind)
            if span.kind not in self._rules.redacted:
                continue
            if span.start >= at:
                name = self._names.name(span.kind, span.value)
                parts += (whole[at : span.start], name.encode())
            at = max(at, span.end)
        parts.append(whole[at:cut])
        return b"".join(parts)


def _span(found: Found) -> _Span:
    starts, ends = [one.start for one in found.pieces], [one.end for one in found.pieces]
    return _Span(min(starts), max(ends), found.kind, found.value)


_CONTINUED: Final = bytes(range(0x80, 0xC0))
"""Bytes within a character of UTF-8."""


def _on_boundary(text: bytes, at: int) -> int:
    while at < len(text) and text[at] & 0xC0 == 0x80:
        at += 1
    return at
