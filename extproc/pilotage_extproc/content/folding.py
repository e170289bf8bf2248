"""Text as detectors read it: other spellings of the same characters become ASCII.

Compatibility forms (NFKC: fullwidth and styled letters), digits of all scripts, letters that look like Latin
ones, dashes and spaces of all widths become one; what is not seen (zero width, combining marks) goes.
"""

import unicodedata
from types import MappingProxyType
from typing import Final

_LOOK_ALIKES: Final = MappingProxyType(
    {
        ord(other): latin
        for other, latin in zip(
            "АВЕЅІЈКМНОРСТУХаеѕіјорсухԁԛԝһѵΑΒΕΖΗΙΚΜΝΟΡΤΥΧοανιρτυχκɑɡıʟꓐꓑ۔٫∂ⅼ",
            "ABESIJKMHOPCTYXaesijopcyxdqwhvABEZHIKMNOPTYXoavipruxkagilBP..dl",
            strict=False,
        )
    }
)
_MARKS: Final = MappingProxyType({**dict.fromkeys("‐‑‒–—―−﹘﹣－⁃", "-"), **dict.fromkeys("․。．｡", ".")})
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
    if category in _GONE:
        return ""
    if category == "Nd":
        return str(unicodedata.decimal(char))
    if category == "Zs":
        return " "
    return _MARKS.get(char) or _letter(char)


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

    def offsets(self, text: bytes, start: int, end: int) -> tuple[int, int]:
        """Where the bytes `start` to `end` of a folded text come from in the text."""
        at, came_from, begin = 0, 0, 0
        for char in text.decode("utf-8", "replace"):
            size = len(char.encode("utf-8", "replace"))
            made = len(self._folds[ord(char)].encode("utf-8", "replace"))
            if at <= start < at + made:
                begin = came_from
            at += made
            came_from += size
            if at >= end:
                return begin, came_from
        return begin, came_from
