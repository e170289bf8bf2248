"""Whether the end of a text stands in a URL, or in what a browser or a viewer acts upon."""

import re
from typing import Final

from pilotage_extproc.content.answers.code_fence import CodeFence
from pilotage_extproc.content.answers.html_tag import HtmlTag

_TOKENS: Final = re.compile(r"[^\s<>\"'`()\[\]{}=/\\!?-]+|.", re.DOTALL)
_TAG_SIGNS: Final = re.compile(r"[<>]")
_RUN_ENDS: Final = re.compile(r"\s")
"""Bare links of GitHub's Markdown go on behind quotes."""
_DEFINES: Final = re.compile(r"\]:\s*$")
"""Of Markdown: the target of a reference follows."""
_LAST: Final = 64
_SCHEMES: Final = (
    r"(?:mailto|sms|smsto|tel|javascript|vbscript|data|blob|file|intent|facetime|skype|whatsapp):"
)
_OF_URLS: Final = re.compile(rf"[/\\?]|\]\(|\w[.。．｡]\w|www[.。．｡]|{_SCHEMES}", re.IGNORECASE)
_LONGEST_SIGN: Final = 16
"""Characters, at least of the longest scheme."""
_LONGEST_RUN: Final = 4096
_GLUED_BEHIND: Final = re.compile(r"[\w/@%&=?#\\。．｡-]|[.:](?=[\w/\\])")
_OPENED: Final = re.compile(
    rf"[\"'`(\[{{]\s{{0,16}}(?:[a-z][a-z0-9+.-]{{0,30}}:[/\\]|[/\\]{{1,2}}|www\.|{_SCHEMES})", re.IGNORECASE
)
"""What is within a quote or brackets from a URL on may be of it, behind blanks too."""
_LONGEST_OPENED: Final = 64
_BRACKETS: Final = re.compile(r"[\"'`()\[\]{}]|[^\"'`()\[\]{}]+")
_CLOSES: Final = {"(": ")", "[": "]", "{": "}", '"': '"', "'": "'", "`": "`"}
_MOST_OPEN: Final = 32
_RUNS: Final = re.compile(
    r"@import|\b(?:url|image-set|src)\s{0,8}\("
    r"|\\(?:href|url|path|includegraphics|input|include|html[a-z]*|require|newcommand|renewcommand)\s{0,8}[*\[{]"
    r"|\\[a-z]{0,4}(?:def|let)\s{0,8}\\"
    r"|\\u\{?0{0,8}(?:3c|2f|3a)|\\x(?:3c|2f|3a)",
    re.IGNORECASE,
)
"""Of style sheets, TeX, and what is a tag or a URL once escapes have gone."""


class UrlWatch:
    """Follows one text. It takes more for URLs than there are, and misses none that is known."""

    def __init__(self) -> None:
        self._tags = HtmlTag(), HtmlTag(escaped=True)
        self._fence = CodeFence()
        self._run_length = 0
        """Of what has come since the last blank."""
        self._run_end = ""
        self._run_is_url = False
        self._last = ""
        """The last characters, blanks too."""
        self._runs = False
        """Whether something has begun that is acted upon, and of which no end is known."""
        self._angle = False
        """Whether a target `<…>` of Markdown goes on behind an escaped `>`."""
        self._target = False
        """Whether a target of a link or picture of Markdown has begun."""
        self._closers: list[tuple[str, bool]] = []
        """What ends the quotes and brackets in which a URL began, and whether behind a backslash too."""
        self._image = 0
        """Brackets that are open since the `![` of a picture or a `][`: words there may name its target."""
        self._opened = ""
        """The last quote or bracket, and what has come since: maybe a URL."""
        self._is_escaped = False
        """Whether a backslash stands in front of it."""

    def saw(self, text: str) -> None:
        """The text goes on."""
        self._fence.saw(text)
        if not self._runs:
            self._runs = _RUNS.search(self._last + text) is not None
        if any(tag.is_open for tag in self._tags) or _TAG_SIGNS.search(text) is not None or self._angle:
            self._follow_tags(text)
        self._follow_brackets(text)
        self._last = (self._last + text)[-_LAST:]
        self._follow_run(text)

    def _follow_run(self, text: str) -> None:
        begin = max((found.end() for found in _RUN_ENDS.finditer(text)), default=0)
        if begin:
            self._run_length, self._run_end, self._run_is_url = 0, "", False
            text = text[begin:]
        seen = self._run_end + text
        self._run_is_url = self._run_is_url or _OF_URLS.search(seen) is not None
        self._run_length += len(text)
        self._run_end = seen[-_LONGEST_SIGN:]

    def _follow_tags(self, text: str) -> None:
        before = self._last[-1:]
        for piece in _TOKENS.findall(text):
            if piece == ">":
                was_open = self._angle or any(tag.is_open for tag in self._tags)
                self._angle = was_open and before == "\\"
            elif piece == "\n":
                self._angle = False
            for tag in self._tags:
                tag.saw(piece)
            before = piece[-1:]

    def _follow_brackets(self, text: str) -> None:
        """Quotes and brackets that a URL stands in, and targets of Markdown."""
        before = self._last[-1:]
        for piece in _BRACKETS.findall(text):
            if piece in _CLOSES or piece in ")]}":
                self._bracket(piece, before)
            elif self._opened:
                self._opened += piece[:_LONGEST_OPENED]
                self._open_url()
            before = piece[-1:]

    def _bracket(self, sign: str, before: str) -> None:
        if sign == "(" and before == "]":
            self._target = True
        elif sign == ")":
            self._target = False
        is_escaped = before == "\\"
        if sign == "[" and (self._image or before in ("!", "]")):
            self._image += 1
        elif sign == "]" and self._image and not is_escaped:
            self._image -= 1
        if self._closers and self._closers[-1][0] == sign and (self._closers[-1][1] or not is_escaped):
            self._closers.pop()
            self._opened = ""
        elif sign in _CLOSES:
            self._opened, self._is_escaped = sign, is_escaped

    def _open_url(self) -> None:
        if _OPENED.match(self._opened) is not None:
            self._closers.append((_CLOSES[self._opened[0]], self._is_escaped))
            self._runs = self._runs or len(self._closers) > _MOST_OPEN
            self._opened = ""
        elif len(self._opened) > _LONGEST_OPENED:
            self._opened = ""

    def in_url(self, behind: str) -> bool:
        """Whether what stands here may be of a URL; `behind` are the next two characters of the text."""
        if self._runs or self._angle or self._target or self._closers or self._image:
            return True
        if self._fence.is_rendered:
            return True
        if any(tag.is_open for tag in self._tags) or self._last[-1:] == "]":
            return True
        if _GLUED_BEHIND.match(behind) is not None or _DEFINES.search(self._last) is not None:
            return True
        if len(self._last) == _LAST and self._last.isspace():
            return True  # what stands in front of so many blanks is forgotten
        return self._run_is_url or self._run_length > _LONGEST_RUN
