"""Detectors of a policy's own: a pattern, or a list of words."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from pilotage_extproc.content.spans import Span

_PAUSE_EVERY: Final = 32


class CustomDetector:
    """What a pattern in RE2 finds, in UTF-8; what it finds empty is nothing."""

    def __init__(self, name: str, pattern: str, group: int = 0) -> None:
        """What `group` of the pattern finds. Raises `re2.error` for a pattern that RE2 refuses."""
        self.name = name
        self._pattern = _compiled(pattern)
        self._group = group

    def find(self, text: bytes) -> Iterator[Span | None]:
        """Spans that are not empty, and pauses."""
        for count, found in enumerate(self._pattern.finditer(text), 1):
            start, end = found.span(self._group)
            if start < end:
                yield Span(start, end)
            if count % _PAUSE_EVERY == 0:
                yield None


def word_list(name: str, words: Iterable[str]) -> CustomDetector:
    """A detector of whole words and phrases, without case; longer ones first."""
    import re2  # noqa: PLC0415 - only where a policy asks for content rules

    quoted = [r"\s+".join(map(re2.escape, word.split())) for word in sorted(words, key=len, reverse=True)]
    edge = r"[^\p{L}\p{N}]"
    return CustomDetector(name, rf"(?i)(?:^|{edge})({'|'.join(quoted)})(?:$|{edge})", group=1)


def _compiled(pattern: str) -> Any:
    import re2  # noqa: PLC0415 - only where a policy asks for content rules

    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern.encode(), options)
