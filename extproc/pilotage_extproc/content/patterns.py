"""Patterns in RE2, whose time grows with the text alone: no text makes one of them stall.

https://github.com/google/re2; what stands in front of a pattern is a cheaper look for what it needs.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from pilotage_extproc.content.spans import Span

_PAUSE_EVERY: Final = 32
"""Candidates: a check of one takes some microseconds."""
_MOST_MEMORY: Final = 8 << 20

Check = Callable[[bytes, int, int], Span | None]
"""What of a candidate is a value, or None: of a text, from a start to an end."""


def compiled(pattern: str, *, ignore_case: bool = False) -> Any:
    """A pattern over bytes, in which a byte above 0x7f is a letter of some script."""
    import re2  # noqa: PLC0415 - only where a policy asks for content rules

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    options.max_mem = _MOST_MEMORY
    options.case_sensitive = not ignore_case
    return re2.compile(pattern.encode("latin-1"), options)


def whole(_text: bytes, start: int, end: int) -> Span:
    """The check of a pattern that needs none."""
    return Span(start, end)


class PatternDetector:
    """Values that a pattern finds and a check confirms."""

    def __init__(
        self,
        name: str,
        pattern: str,
        check: Check = whole,
        *,
        hint: str,
        ignore_case: bool = False,
        pause_every: int = _PAUSE_EVERY,
    ) -> None:
        """`hint` is a pattern that every text with such a value has, quickly looked for."""
        self._pause_every = pause_every
        self.name = name
        self._hint = compiled(hint, ignore_case=ignore_case)
        self._pattern = compiled(pattern, ignore_case=ignore_case)
        self._check = check

    def find(self, text: bytes) -> Iterator[Span | None]:
        """Spans of confirmed values, and pauses."""
        if self._hint.search(text) is None:
            return
        for count, found in enumerate(self._pattern.finditer(text), 1):
            start, end = found.span()
            confirmed = self._check(text, start, end)
            if confirmed is not None:
                yield confirmed
            if count % self._pause_every == 0:
                yield None
