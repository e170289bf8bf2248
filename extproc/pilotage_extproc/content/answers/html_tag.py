"""Whether a text stands within a tag of HTML, as browsers tell where tags end."""

from enum import Enum
from typing import Final

_RAW: Final = frozenset(
    (
        *("script", "style", "textarea", "title", "xmp"),
        *("iframe", "noembed", "noframes", "noscript", "plaintext"),
    )
)
"""Elements that run, or whose content is read by other rules than tags are."""
_BLANK: Final = frozenset(" \t\n\r\f")
_LONGEST_NAME: Final = 16


class _At(Enum):
    OUTSIDE = 0
    OPENED = 1
    """Behind `<`."""
    NAME = 2
    BEFORE_ATTRIBUTE = 3
    ATTRIBUTE = 4
    AFTER_ATTRIBUTE = 5
    BEFORE_VALUE = 6
    BARE = 7
    QUOTED = 8
    MARKUP = 9
    """Behind `<!`, `<?` or `</` that no name follows: up to the next `>`, or a comment's end."""


class HtmlTag:
    """Follows one text, by the tokenizer of the HTML standard (section 13.2.5).

    One that is `escaped` reads it as it is once the backslashes of JSON or of a script have gone.
    """

    def __init__(self, *, escaped: bool = False) -> None:
        self.runs = False
        """Whether an element has begun that runs, or hides what are tags: from there on nothing is known."""
        self._escaped = escaped
        self._at = _At.OUTSIDE
        self._name = ""
        self._quote = ""
        self._markup = ""

    @property
    def is_open(self) -> bool:
        """Whether a tag has begun that is not over, or may have."""
        return self.runs or self._at is not _At.OUTSIDE

    def saw(self, piece: str) -> None:
        """The text goes on by one character, or by a word of none that matters to a tag."""
        at = self._at
        if at is _At.OUTSIDE:
            if piece == "<":
                self._at, self._name = _At.OPENED, ""
            return
        if self._escaped and piece == "\\":
            return
        if at is _At.QUOTED:
            if piece == self._quote:
                self._at = _At.BEFORE_ATTRIBUTE
        elif at is _At.MARKUP:
            self._in_markup(piece)
        elif at is _At.OPENED:
            self._opened(piece)
        elif piece == ">":
            self._at = _At.OUTSIDE
        else:
            self._in_tag(at, piece)

    def _opened(self, piece: str) -> None:
        first = piece[:1]
        if first.isascii() and first.isalpha():
            self._at = _At.NAME
            self._named(piece)
        elif piece == "/" and not self._name:
            self._name = "/"
        elif piece in ("!", "?") or (self._name and piece != ">"):
            self._at, self._markup = _At.MARKUP, ""
        else:
            self._at = _At.OPENED if piece == "<" else _At.OUTSIDE
            self._name = ""

    def _named(self, piece: str) -> None:
        self._name = (self._name.removeprefix("/") + piece.lower())[:_LONGEST_NAME]
        self.runs = self.runs or self._name in _RAW

    def _in_markup(self, piece: str) -> None:
        """A comment ends as comments do; all else with the next `>`."""
        if piece == ">":
            seen = self._markup
            is_comment = seen.startswith("--")
            if not is_comment or seen in ("--", "---") or seen[2:].endswith(("--", "--!")):
                self._at = _At.OUTSIDE
        self._markup = self._markup[:2] + (self._markup[2:] + piece)[-4:]

    def _in_tag(self, at: _At, piece: str) -> None:
        if at is _At.BEFORE_VALUE:
            if piece in ("'", '"'):
                self._at, self._quote = _At.QUOTED, piece
            elif piece not in _BLANK:
                self._at = _At.BARE
        elif piece in _BLANK:
            if at is _At.ATTRIBUTE:
                self._at = _At.AFTER_ATTRIBUTE
            elif at is not _At.AFTER_ATTRIBUTE:
                self._at = _At.BEFORE_ATTRIBUTE
        elif at is _At.BARE:
            pass
        elif piece == "/":
            self._at = _At.BEFORE_ATTRIBUTE
        elif at is _At.NAME:
            self._named(piece)
        elif piece == "=" and at is not _At.BEFORE_ATTRIBUTE:
            self._at = _At.BEFORE_VALUE
        else:
            self._at = _At.ATTRIBUTE
