"""What was done about kinds of values that stand in a request; never the values."""

from typing import Final, NamedTuple

MOST_PLACES: Final = 16
"""Kept of one kind."""


class Handled(NamedTuple):
    """One kind."""

    detector: str
    action: str
    times: int
    at: tuple[int, ...]
    """Bytes of the body that the first of them begin at."""
