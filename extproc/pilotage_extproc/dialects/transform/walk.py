"""Find where the parts of a JSON value stand, without parsing it: bytes are spliced, never written anew.

A body is known to be valid JSON before it comes here.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import orjson

from pilotage_extproc.domain.refusals import Refusal, RequestRefused

_NEXT: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]', re.DOTALL)
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_SCALAR: Final = re.compile(rb"[^\s,\]}]+")
_SPACE: Final = re.compile(rb"[ \t\r\n]*+")
_MOST_TOKENS: Final = 200_000
"""Strings and brackets that are passed over in one body: some 60 ms."""


class Span(NamedTuple):
    """Bytes from `start` to before `end`."""

    start: int
    end: int


class Member(NamedTuple):
    """A member of an object."""

    name: str
    key: Span
    """With its quotes."""
    value: Span


class Walk:
    """One walk through a body, of bounded length."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._left = _MOST_TOKENS

    def value(self, start: int) -> Span:
        """The value that begins there. Raises RequestRefused (400) where the walk grows too long."""
        body = self._body
        first = body[start : start + 1]
        if first == b'"':
            return Span(start, self._matched(_STRING, start))
        if first not in (b"{", b"["):
            return Span(start, self._matched(_SCALAR, start))
        depth = 0
        for found in _NEXT.finditer(body, start):
            self._spend()
            sign = body[found.start()]
            if sign in b"[{":
                depth += 1
            elif sign in b"]}":
                depth -= 1
                if depth == 0:
                    return Span(start, found.end())
        raise ValueError("the value does not end")

    def items(self, start: int) -> Iterator[Span]:
        """The values of the list that begins there, in order."""
        at = self._after_space(start + 1)
        while self._body[at : at + 1] != b"]":
            span = self.value(at)
            yield span
            at = self._past_comma(span.end)

    def members(self, start: int) -> Iterator[Member]:
        """The members of the object that begins there, in order."""
        at = self._after_space(start + 1)
        while self._body[at : at + 1] != b"}":
            key = self.value(at)
            colon = self._after_space(key.end)
            value = self.value(self._after_space(colon + 1))
            yield Member(str(orjson.loads(self._body[key.start : key.end])), key, value)
            at = self._past_comma(value.end)

    def _past_comma(self, end: int) -> int:
        at = self._after_space(end)
        return self._after_space(at + 1) if self._body[at : at + 1] == b"," else at

    def _after_space(self, at: int) -> int:
        return self._matched(_SPACE, at)

    def _matched(self, pattern: "re.Pattern[bytes]", at: int) -> int:
        self._spend()
        found = pattern.match(self._body, at)
        if found is None:
            raise ValueError("the value does not end")
        return found.end()

    def _spend(self) -> None:
        self._left -= 1
        if self._left < 0:
            message = "The request has too many parts for the changes that its policy asks for."
            raise RequestRefused(Refusal.TOO_COMPLEX, message)


def without(spans: Sequence[Span], gone: Sequence[bool]) -> Iterator[Span]:
    """What to cut out of a list so that the marked values are gone, each with one comma.

    `spans` are its values in order, up to the one behind the last marked one, or to the end.
    """
    kept_before = False
    for index, (span, goes) in enumerate(zip(spans, gone, strict=False)):
        if not goes:
            kept_before = True
        elif kept_before:
            yield Span(spans[index - 1].end, span.end)
        elif index + 1 < len(spans):
            yield Span(span.start, spans[index + 1].start)
        else:
            yield span
