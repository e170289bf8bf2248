"""How long an expression can take at most: an estimate in nanoseconds, from its text alone.

Each figure is some way above what was measured on one core of a cloud server (Xeon, 2.x GHz) with the worst
values there are; `make fuzz` measures random accepted expressions against what is promised.
"""

from typing import Final

from pilotage_api.conditions.variables import MAX_ITEMS, MAX_LIST_TEXT

LIMIT_NS: Final = 80_000
"""Estimates above this are refused."""
PROMISED_NS: Final = 100_000
"""No accepted expression takes longer."""

START_NS: Final = 4_000
"""To begin an evaluation and to end it."""
NODE_NS: Final = 40
"""Any step: a variable, a literal, a call."""
BIND_NS: Final = 900
"""To hand over one value."""
BIND_LIST_NS: Final = 13_000
"""To measure a full list and hand it over."""
TURN_NS: Final = 140
"""One turn of a loop, without what it does."""
ITEM_NS: Final = 90
"""To compare one item of a list."""
CALLBACK_NS: Final = 1_500
"""To call a function written in Python."""
ITEM_TEXT: Final = MAX_LIST_TEXT // MAX_ITEMS
"""Bytes of an item, on average over a full list."""

_COMPARE: Final = 0.08
_COUNT: Final = 2.5
_SEARCH: Final = 9.0
_DECODE: Final = 1.0
_GLOB: Final = 0.5


def compare_ns(text: int) -> float:
    """To compare two texts, the shorter of which has that many bytes."""
    return text * _COMPARE


def count_ns(text: int) -> float:
    """To count the characters of a text."""
    return text * _COUNT


def search_ns(text: int, wanted: int) -> float:
    """To search a text for another."""
    return text * (_SEARCH + wanted * _COMPARE)


def glob_ns(text: int, pattern: str) -> float:
    """To match a text with a glob: only what stands between two stars has to be searched for."""
    between = [len(piece) for piece in pattern.split("*")[1:-1]]
    if simple(pattern):
        return search_ns(text, between[0]) if between else compare_ns(min(text, len(pattern)))
    return CALLBACK_NS + text * (_DECODE + sum(between) * _GLOB)


def simple(pattern: str) -> bool:
    """Whether a glob is an equality, a prefix, a suffix or a search, which CEL has itself."""
    pieces = pattern.split("*")
    if "?" in pattern or len(pieces) > 3:
        return False
    if len(pieces) == 3:
        return not pieces[0] and not pieces[2]
    return len(pieces) == 1 or not pieces[0] or not pieces[1]
