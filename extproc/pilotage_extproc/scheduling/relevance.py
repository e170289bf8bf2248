"""Which texts have most of the words of another: BM25 without lengths, over words and parts of names."""

import math
import re
from collections import Counter
from collections.abc import Generator, Sequence
from typing import Final

_WORD: Final = re.compile(r"[^\W_]+")
_JOINT: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_MOST_CHARACTERS: Final = 1024
_PAUSE_EVERY: Final = 8


def by_relevance(asked: bytes, texts: Sequence[str]) -> Generator[None, None, list[int]]:
    """Indices of the texts, those with most of the rarer words of `asked` first; equal ones as they stand.

    Steps with pauses.
    """
    wanted = _words(asked.decode("utf-8", "replace"))
    having: list[set[str]] = []
    for count, text in enumerate(texts, 1):
        having.append(_words(text[:_MOST_CHARACTERS]) & wanted)
        if count % _PAUSE_EVERY == 0:
            yield
    counts = Counter(word for words in having for word in words)
    weights = {word: math.log(1 + len(texts) / count) for word, count in counts.items()}
    scores = [sum(sorted(weights[word] for word in words)) for words in having]
    return sorted(range(len(texts)), key=lambda index: (-scores[index], index))


def _words(text: str) -> set[str]:
    """Words of three letters or more, without a plural's s."""
    found = _WORD.findall(_JOINT.sub(" ", text).casefold())
    return {word.removesuffix("s") for word in found if len(word) > 2}
