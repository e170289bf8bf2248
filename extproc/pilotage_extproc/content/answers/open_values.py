"""Where at the end of a text begins what may become a value when more of the text comes."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

_NEAR: Final = 96
"""Characters of the end in which groups of digits and words are looked for."""
_GROUPS: Final = re.compile(r"(?:\b[A-Za-z]{1,2} ?)?[+(]?[0-9](?:[0-9 ().+/-]|[A-Za-z](?![A-Za-z]{2}))*\Z")
"""Groups of digits, with a letter or two between them or at their beginning: cards, phones, national ids."""
_ACCOUNT: Final = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}[A-Za-z0-9 -]{0,64}\Z")
"""IBANs: letters may stand anywhere."""
_TWO_LETTERS: Final = re.compile(r"\b[A-Za-z]{2} \Z")
_KEY: Final = re.compile(r"-----[A-Z0-9 -]{0,60}\Z")
_ALL: Final = (_GROUPS, _ACCOUNT, _TWO_LETTERS, _KEY)
_DIGIT: Final = re.compile("[0-9]")
_TOKENS: Final = re.compile(r"\S+")


class OpenValues:
    """Knows what values look like before they are complete."""

    def __init__(self, words: Iterable[str] = (), pattern_window: int = 0) -> None:
        """`words` are phrases that are looked for; of a pattern of which nothing is known so many bytes are
        open."""
        phrases = [tuple(phrase.casefold().split()) for phrase in words]
        self._phrases: Sequence[tuple[str, ...]] = tuple(one for one in phrases if len(one) > 1)
        self._longest = max(map(len, self._phrases), default=1)
        self._window = pattern_window

    def begin(self, text: str) -> int:
        """The first character that may be of a value that goes on, as detectors read the text.

        The last word always may: at most the length of the text.
        """
        begin = len(text)
        if not text[-1:].isspace():
            begin -= sum(map(len, text.rsplit(None, 1)[-1:]))
        near = max(0, len(text) - _NEAR)
        patterns = (_TWO_LETTERS, _KEY) if _DIGIT.search(text, near) is None else _ALL
        for pattern in patterns:
            found = pattern.search(text, near)
            if found is not None:
                begin = min(begin, found.start())
        if self._phrases:
            begin = min(begin, self._phrase(text, begin))
        if 0 < begin < len(text) and not text[begin - 1].isspace():
            begin -= sum(map(len, text[:begin].rsplit(None, 1)[-1:]))
        return max(0, min(begin, len(text) - self._window))

    def _phrase(self, text: str, begin: int) -> int:
        """Where the first words of a phrase stand at the end."""
        tokens = list(_TOKENS.finditer(text))[-self._longest :]
        for place, token in enumerate(tokens):
            if token.start() >= begin:
                break
            said = tuple([_plain(one.group()) for one in tokens[place:]])
            open_word = not text[-1:].isspace()
            if any(_begins(phrase, said, open_word=open_word) for phrase in self._phrases):
                return token.start()
        return begin


def _plain(word: str) -> str:
    """A word without what stands around it."""
    start = next((place for place, char in enumerate(word) if char.isalnum()), len(word))
    return word[start:].casefold()


def _begins(phrase: tuple[str, ...], said: tuple[str, ...], *, open_word: bool) -> bool:
    """Whether the words are the first of the phrase; the last may be cut short where it is open."""
    if len(said) > len(phrase):
        return False
    *whole, last = said
    if tuple(whole) != phrase[: len(whole)]:
        return False
    expected = phrase[len(whole)]
    return expected.startswith(last) if open_word else expected == last
