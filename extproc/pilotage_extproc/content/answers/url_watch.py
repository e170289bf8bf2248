"""Whether the end of a text stands in a URL, in what a browser or a Markdown viewer takes for one."""

import re
from enum import Enum
from typing import Final

_SIGNS: Final = re.compile(r"<(?=[A-Za-z/!?])|[>\"')]|\]\(")
_RUN_ENDS: Final = re.compile(r"\s")
"""Bare links of GitHub's Markdown go on behind quotes."""
_DEFINES: Final = re.compile(r"\]:\s*$")
"""Of Markdown: the target of a reference follows."""
_LONGEST_GAP: Final = 64
_OF_URLS: Final = re.compile(r"[/\\?]|\]\(|\w\.\w|www\.", re.IGNORECASE)
_LONGEST_RUN: Final = 4096
_GLUED_BEHIND: Final = re.compile(r"[\w/@%&=?#\\-]|[.:](?=[\w/\\])")


class _In(Enum):
    TEXT = 0
    TAG = 1
    """Of HTML, or `<…>` of Markdown."""
    TARGET = 2
    """Of a link or picture of Markdown."""


class UrlWatch:
    """Follows one text. It takes more for URLs than there are, and misses none that is known."""

    def __init__(self) -> None:
        self._in = _In.TEXT
        self._quote = ""
        self._run = ""
        """Since the last blank."""
        self._last = ""
        """The last characters, blanks too."""
        self._tail = ""
        """A sign that may be of two characters."""

    def saw(self, text: str) -> None:
        """The text goes on."""
        self._last = (self._last + text)[-_LONGEST_GAP:]
        self._run = (self._run + text)[-2 * _LONGEST_RUN :]
        ends = [found.end() for found in _RUN_ENDS.finditer(self._run)]
        if ends:
            self._run = self._run[ends[-1] :]
        joined = self._tail + text
        self._tail = joined[-1:] if joined[-1:] in ("<", "]") else ""
        for found in _SIGNS.finditer(joined, 0, len(joined) - len(self._tail)):
            self._sign(found.group())

    def _sign(self, sign: str) -> None:
        if self._in is _In.TAG:
            if self._quote:
                self._quote = "" if sign == self._quote else self._quote
            elif sign in "\"'":
                self._quote = sign
            elif sign == ">":
                self._in = _In.TEXT
        elif sign == "<":
            self._in = _In.TAG
        elif sign == "](":
            self._in = _In.TARGET
        elif sign == ")" and self._in is _In.TARGET:
            self._in = _In.TEXT

    def in_url(self, behind: str) -> bool:
        """Whether what stands here may be of a URL; `behind` are the next two characters of the text."""
        if self._in is not _In.TEXT or self._tail or _GLUED_BEHIND.match(behind) is not None:
            return True
        if _DEFINES.search(self._last) is not None:
            return True
        return len(self._run) > _LONGEST_RUN or _OF_URLS.search(self._run) is not None
