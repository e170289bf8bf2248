"""What stands around a candidate: digits, letters, and words that say what it is."""

from typing import Any, Final

_BEFORE_BYTES: Final = 48
_ALNUM: Final = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def digits_of(text: bytes) -> list[int]:
    """Its digits, as numbers."""
    return [char - 48 for char in text if 48 <= char <= 57]


def stands_alone(text: bytes, start: int, end: int) -> bool:
    """Whether no letter or digit of ASCII is next to it."""
    return (start == 0 or text[start - 1] not in _ALNUM) and (end >= len(text) or text[end] not in _ALNUM)


def no_number_beside(text: bytes, start: int, end: int) -> bool:
    """Whether it is no part of a longer or a decimal number."""
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    if before[-1:].isdigit() or (before[-1:] in (b".", b",") and before[:1].isdigit() and len(before) == 2):
        return False
    return not (after[:1].isdigit() or (after[:1] in (b".", b",") and after[1:].isdigit()))


def is_named(text: bytes, start: int, words: Any) -> bool:
    """Whether one of the words (a pattern) stands shortly before it."""
    return words.search(text[max(0, start - _BEFORE_BYTES) : start]) is not None
