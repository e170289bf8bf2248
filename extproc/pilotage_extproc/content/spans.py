"""Where something stands in a text, and what finds it."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol


class Span(NamedTuple):
    """Bytes `start` to `end`."""

    start: int
    end: int


class Detector(Protocol):
    """Finds values of one kind."""

    name: str
    """As policies name it, such as `email`."""

    def find(self, text: bytes) -> Iterator[Span | None]:
        """Spans in a folded text; None at least every 64 candidates, where others may be let in."""
