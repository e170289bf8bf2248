"""Text as detectors read it: other spellings of the same characters become ASCII.

Compatibility forms (NFKC: fullwidth and styled letters), digits of all scripts, letters that look like Latin
ones, dashes and spaces of all widths become one; what is not seen (zero width, combining marks) goes, and tag
characters, which models read, are shown.
"""

import re
import unicodedata
from array import array
from bisect import bisect_right
from types import MappingProxyType
from typing import Final

_LOOK_ALIKES: Final = MappingProxyType(
    {
        ord(other): latin
        for other, latin in zip(
            "АВЕЅІЈКМНОРСТУХаеѕіјорсухԁԛԝһѵΑΒΕΖΗΙΚΜΝΟΡΤΥΧοανιρτυχκɑɡıʟꓐꓑ۔٫∂ⅼᎪᏴᏟᎠᎬᏀᎻᎫᏦᏞᎷᏢᎡᏚᎢᏙᎳᎩᏃҮօոսհցզ",
            "ABESIJKMHOPCTYXaesijopcyxdqwhvABEZHIKMNOPTYXoaviptuxkagilBP..dlABCDEGHJKLMPRSTVWYZYonuhgq",
            strict=True,
        )
    }
)
_MARKS: Final = MappingProxyType({**dict.fromkeys("‐‑‒–—―−﹘﹣－⁃", "-"), **dict.fromkeys("․。．｡", ".")})
_BEYOND_ASCII: Final = re.compile("[^\\x00-\\x7f]+")
_TAGS: Final = range(0xE0020, 0xE007F)
"""Tag characters (Unicode 15, 23.9): ASCII that is not shown."""
_LETTERS_OF: Final = (range(0x1F150, 0x1F16A), range(0x1F170, 0x1F18A), range(0x1F1E6, 0x1F200))
"""Latin letters in circles, in squares, and of flags: A to Z of each."""
_BLANK: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and signs of which nothing is seen."""
_GONE: Final = frozenset(("Cf", "Mn", "Me"))


class _Folds(dict[int, str]):
    """What each character becomes; found out when it is first seen."""

    def __missing__(self, code: int) -> str:
        folded = self[code] = _fold(chr(code))
        return folded


def _fold(char: str) -> str:
    category = unicodedata.category(char)
    if char.isascii():
        return char
    if ord(char) in _TAGS:  # seen by nobody, and read by models
        return chr(ord(char) - _TAGS.start + 0x20)
    if category in _GONE or char in _BLANK:
        return ""
    if category == "Nd":
        return str(unicodedata.decimal(char))
    if category == "Zs":
        return " "
    return _MARKS.get(char) or _framed(char) or _letter(char)


def _framed(char: str) -> str:
    """The letter in a circle, a square or a flag; empty for other characters."""
    found = [ord(char) - letters.start for letters in _LETTERS_OF if ord(char) in letters]
    return chr(found[0] + 0x41) if found else ""


def _letter(char: str) -> str:
    """Its compatibility form without marks, in Latin letters where it looks like one."""
    plain = "".join(
        _LOOK_ALIKES.get(ord(one), one)
        for one in unicodedata.normalize("NFKC", char)
        if unicodedata.category(one) not in _GONE
    )
    return plain or char


class Folding:
    """Folds texts; one for a process, so that each character is looked up once."""

    def __init__(self) -> None:
        self._folds = _Folds()

    def folded(self, text: bytes) -> bytes:
        """UTF-8 as detectors read it."""
        return text.decode("utf-8", "replace").translate(self._folds).encode("utf-8", "replace")

    def chars(self, text: str) -> tuple[str, list[int]]:
        """The text as detectors read it, and which character of the text each of its own comes from."""
        folded = [(fold, place) for place, char in enumerate(text) for fold in self._folds[ord(char)]]
        return "".join([fold for fold, _ in folded]), [place for _, place in folded]

    def breaks(self, text: bytes) -> "Breaks":
        """How bytes of a folded text come from the text."""
        return Breaks(text.decode("utf-8", "replace"), self._folds)


class Breaks:
    """Where a folded text is not the text itself: one entry for each character beyond ASCII."""

    __slots__ = ("_at", "_from", "_made", "_sizes")

    def __init__(self, text: str, folds: dict[int, str]) -> None:
        self._at, self._made = array("Q"), array("Q")
        self._from, self._sizes = array("Q"), array("Q")
        at = came_from = seen = 0
        for found in _BEYOND_ASCII.finditer(text):
            plain = found.start() - seen
            at += plain
            came_from += plain
            seen = found.end()
            for char in found.group():
                made = len(folds[ord(char)].encode("utf-8", "replace"))
                size = len(char.encode("utf-8", "replace"))
                self._at.append(at)
                self._made.append(made)
                self._from.append(came_from)
                self._sizes.append(size)
                at += made
                came_from += size

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where the bytes `start` to `end` of the folded text come from; of a character all of it."""
        return self._char(start)[0], self._char(end - 1)[1]

    def _char(self, at: int) -> tuple[int, int]:
        index = bisect_right(self._at, at) - 1
        if index < 0:
            return at, at + 1
        beyond = at - self._at[index]
        begin, size, made = self._from[index], self._sizes[index], self._made[index]
        if beyond < made:
            return begin, begin + size
        begin += size + beyond - made
        return begin, begin + 1
