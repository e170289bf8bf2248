"""Named sets of words and phrases, compiled together and looked for in one pass.

A text is cut into words once; each word is looked up once, and a phrase is compared only behind its first
word, at most `MOST_WORDS` words on: the time grows with the text, not with the number of sets.
"""

import re
from collections.abc import Iterable, Mapping
from itertools import compress, filterfalse
from operator import not_
from typing import Final

MOST_WORDS: Final = 8
"""Of one phrase."""
_UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"  # kana, Han, Hangul
)
_WORD: Final = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_BLANKS: Final = bytes(
    byte if byte >= 0x80 else ord(chr(byte).lower()) if chr(byte).isalnum() or byte == ord("_") else 0x20
    for byte in range(256)
)
"""ASCII letters without case, and a blank for ASCII that is in no word; the rest of UTF-8 stays."""


def words_of(text: bytes) -> list[str]:
    """Words without case; in scripts that are written without spaces every character is one."""
    pieces = _pieces(text)
    return pieces if text.isascii() else _whole(pieces)


def _pieces(text: bytes) -> list[str]:
    """What stands between blanks and ASCII signs: a word where it is ASCII itself."""
    return text.translate(_BLANKS).decode("utf-8", "replace").split()


def _whole(pieces: list[str]) -> list[str]:
    words, begin = [], 0
    for place in compress(range(len(pieces)), map(not_, map(str.isascii, pieces))):
        words += pieces[begin:place]
        words += _parts(pieces[place])
        begin = place + 1
    return words + pieces[begin:]


def _parts(piece: str) -> list[str]:
    return _WORD.findall(piece.casefold())


class KeywordSets:
    """All sets of one snapshot. A set holds where any of its phrases stands in the text, as whole words."""

    __slots__ = ("_begins", "_first", "_phrases", "_single", "names")

    def __init__(self, sets: Mapping[str, Iterable[str]]) -> None:
        """Phrases of more than `MOST_WORDS` words, or of none, are never found."""
        self.names = frozenset(sets)
        self._single: dict[str, frozenset[str]] = {}
        self._phrases: dict[tuple[str, ...], frozenset[str]] = {}
        self._begins: dict[str, frozenset[int]] = {}
        """By first word: how many words phrases have."""
        for name, phrases in sets.items():
            for phrase in phrases:
                words = tuple(words_of(phrase.encode("utf-8", "replace")))
                if len(words) == 1:
                    self._single[words[0]] = self._single.get(words[0], frozenset()) | {name}
                elif 1 < len(words) <= MOST_WORDS:
                    self._phrases[words] = self._phrases.get(words, frozenset()) | {name}
                    self._begins[words[0]] = self._begins.get(words[0], frozenset()) | {len(words)}
        self._first = frozenset(self._single) | frozenset(self._begins)

    def __bool__(self) -> bool:
        return bool(self.names)

    def found_in(self, text: bytes) -> frozenset[str]:
        """Names of the sets that hold."""
        pieces = _pieces(text)
        present = self._first.intersection(pieces)
        ascii_only = text.isascii()
        if not ascii_only:  # only pieces that are not ASCII are looked at again
            odd = filterfalse(str.isascii, pieces)
            present |= self._first.intersection(word for piece in odd for word in _parts(piece))
        found = {name for word in present for name in self._single.get(word, ())}
        if not present.isdisjoint(self._begins):
            words = pieces if ascii_only else _whole(pieces)
            for place in compress(range(len(words)), map(self._begins.__contains__, words)):
                for length in self._begins[words[place]]:
                    found |= self._phrases.get(tuple(words[place : place + length]), frozenset())
        return frozenset(found)


NO_KEYWORDS: Final = KeywordSets({})
