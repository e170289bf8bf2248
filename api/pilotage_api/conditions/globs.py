"""Globs in conditions: `*` is any run of characters, `?` is one."""

from typing import Final

MAX_GLOB: Final = 64
"""Characters of a pattern: bounds the time of a search, which is the text's length times this at worst."""


def glob_problem(pattern: str) -> str | None:
    """Why a pattern is refused; None when it can be matched in bounded time."""
    if len(pattern) > MAX_GLOB:
        return f"is longer than {MAX_GLOB} characters"
    if any("?" in piece for piece in pattern.split("*")[1:-1]):
        return "has a ? between two *"
    return None


def glob(text: str, pattern: str) -> bool:
    """Whether a pattern without a `glob_problem` fits the whole text.

    What stands between two stars is taken where it first fits: that finds the same texts as trying all
    places, and needs no going back.
    """
    pieces = pattern.split("*")
    first, last = pieces[0], pieces[-1]
    if len(pieces) == 1:
        return len(text) == len(first) and _fits(text, 0, first)
    end = len(text) - len(last)
    if end < len(first) or not _fits(text, 0, first) or not _fits(text, end, last):
        return False
    at = len(first)
    for piece in pieces[1:-1]:
        found = text.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


def _fits(text: str, at: int, piece: str) -> bool:
    if "?" not in piece:
        return text.startswith(piece, at)
    return all(wanted in ("?", text[at + index]) for index, wanted in enumerate(piece))
