"""Named sets of words and phrases, compiled together and looked for in one pass.

A text is cut into words once; each word is looked up once, and a phrase is compared only behind its first
word, at most `MOST_WORDS` words on: the time grows with the text, not with the number of sets.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

MOST_WORDS: Final = 8
"""Of one phrase."""
_UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"  # kana, Han, Hangul
)
_WORD: Final = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_ASCII_WORDS: Final = bytes(
    ord(chr(byte).lower()) if byte < 0x80 and (chr(byte).isalnum() or byte == ord("_")) else 0x20
    for byte in range(256)
)
"""Letters without case, and a space for all that is in no word."""


def words_of(text: str) -> list[str]:
    """Words without case; in scripts that are written without spaces every character is one."""
    if text.isascii():  # a fifth of the time that a pattern takes
        return text.encode().translate(_ASCII_WORDS).decode("ascii").split()
    return _WORD.findall(text.casefold())


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
                words = tuple(words_of(phrase))
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
        words = words_of(text.decode("utf-8", "replace"))
        present = self._first.intersection(words)
        found = {name for word in present for name in self._single.get(word, ())}
        if not present.isdisjoint(self._begins):
            for place, word in enumerate(words):
                for length in self._begins.get(word, ()):
                    found |= self._phrases.get(tuple(words[place : place + length]), frozenset())
        return frozenset(found)


NO_KEYWORDS: Final = KeywordSets({})
