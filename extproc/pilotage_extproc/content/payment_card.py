"""Payment cards: 13 to 19 digits in groups, a known issuer, Luhn's check digit."""

from collections.abc import Iterator
from typing import Any, Final

from pilotage_extproc.content.checksums import LuhnSums
from pilotage_extproc.content.patterns import compiled
from pilotage_extproc.content.spans import Detector, Span
from pilotage_extproc.content.surroundings import no_number_beside

_RUN: Final = r"[0-9](?:[ -]?[0-9]){12,}"
_FIRST_DIGITS: Final = "23456"
_PAUSE_EVERY: Final = 64
_LOT: Final = 256
"""Groups that are looked at together."""
_FEWEST_DIGITS: Final = 13
_MOST_DIGITS: Final = 19


def _is_issued(number: str) -> bool:
    """Whether a known issuer has numbers that begin so, of this length."""
    length, two, four = len(number), int(number[:2]), int(number[:4])
    if number[0] == "4":
        return length in (13, 16, 19)
    if 51 <= two <= 55 or 2221 <= four <= 2720:
        return length == 16
    if two in (34, 37):
        return length == 15
    if two in (36, 38, 39) or 300 <= int(number[:3]) <= 305:
        return 14 <= length <= 19
    if two in (62, 65) or four == 6011 or 644 <= int(number[:3]) <= 649 or 3528 <= four <= 3589:
        return 16 <= length <= 19
    return two in (50, 56, 57, 58, 60, 61, 63, 67, 68, 69) and 13 <= length <= 19  # Maestro


class _Cards:
    """Looks for cards among the groups of runs of digits."""

    name = "payment-card"

    def __init__(self) -> None:
        self._runs: Any = compiled(_RUN)
        self._groups: Any = compiled("[0-9]+")

    def find(self, text: bytes) -> Iterator[Span | None]:
        """Cards, and pauses."""
        for found in self._runs.finditer(text):
            start, end = found.span()
            if no_number_beside(text, start, end):
                yield from self._in_run(text, start, end)

    def _in_run(self, text: bytes, start: int, end: int) -> Iterator[Span | None]:
        """Its groups by some hundred; the last ones of each lot once more with the next."""
        groups: list[tuple[int, int]] = []
        for found in self._groups.finditer(text[start:end]):
            begin, stop = found.span()
            groups.append((start + begin, start + stop))
            if len(groups) == _LOT:
                yield from _in_groups(text, groups)
                groups = groups[-_MOST_DIGITS:]
        yield from _in_groups(text, groups)


def _in_groups(text: bytes, groups: list[tuple[int, int]]) -> Iterator[Span | None]:
    """A card begins and ends where groups do. The sums up to each digit make each check a subtraction."""
    firsts: list[int] = []
    at_end: dict[int, int] = {}
    digits = ""
    for begin, stop in groups:
        firsts.append(len(digits))
        digits += text[begin:stop].decode()
        at_end[len(digits)] = stop
    yield None
    sums, done = LuhnSums(digits), -1
    for count, (first, (begin, _)) in enumerate(zip(firsts, groups, strict=True), 1):
        if count % _PAUSE_EVERY == 0:
            yield None
        if first < done or digits[first] not in _FIRST_DIGITS:
            continue
        for length in range(_MOST_DIGITS, _FEWEST_DIGITS - 1, -1):
            stop_at = at_end.get(first + length)
            if (
                stop_at is not None
                and sums.holds(first, first + length)
                and _is_issued(digits[first : first + length])
            ):
                yield Span(begin, stop_at)
                done = first + length
                break


def payment_card() -> Detector:
    """The detector."""
    return _Cards()
