"""A text as hashed n-grams: what the predictor's weights stand for.

Buckets are those of words, pairs of words, and runs of three and four bytes (feature hashing: Weinberger et
al., arXiv 0902.2206), each counted once however often it occurs. Weights are of no use with another version
of this module: `VERSION` stands in every file of weights.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

VERSION: Final = 1
"""Of the meaning of buckets."""
BUCKETS: Final = 1 << 16
MOST_BYTES: Final = 4096
"""Of a text; what is longer is cut."""

_WORD_BYTES: Final = bytes(1 if byte >= 0x80 or chr(byte).isalnum() else 0 for byte in range(256))
_BASE: Final = 0x9E3779B97F4A7C15
_MIX: Final = np.uint64(0xD6E8FEB86659FD93)
_MIX_PAIR: Final = np.uint64(0xA0761D6478BD642F)
_FOUR: Final = np.uint32(0x9E3779B1)
_THREE: Final = np.uint32(0x85EBCA6B)
_THREE_BYTES: Final = np.uint32(0xFFFFFF)
_HALF: Final = np.uint32(16)
_TOP: Final = np.uint64(48)


def _powers(base: int) -> NDArray[np.uint64]:
    found, power = [], 1
    for _ in range(MOST_BYTES + 2):
        found.append(power)
        power = power * base & 0xFFFFFFFFFFFFFFFF
    return np.array(found, np.uint64)


_POWERS: Final = _powers(_BASE)
_INVERSE: Final = _powers(pow(_BASE, -1, 1 << 64))


def buckets_of(text: bytes) -> NDArray[np.intp]:
    """Buckets of the first 4 KiB of a text, sorted, each once; none of an empty one."""
    text = text[:MOST_BYTES]
    if not text:
        return np.empty(0, np.intp)
    padded = b" " + text.lower() + b" "
    found = np.frombuffer(padded, np.uint8)
    words = _words(found, padded)
    buckets = np.concatenate(
        [
            *_bytes(found),
            ((words * _MIX) >> _TOP).astype(np.uint16),
            (((words[:-1] * _MIX_PAIR + words[1:]) * _MIX) >> _TOP).astype(np.uint16),
        ]
    )
    buckets.sort()  # with the search for neighbours a tenth of what unique() takes
    first = np.empty(len(buckets), np.bool_)
    first[0] = True
    np.not_equal(buckets[1:], buckets[:-1], out=first[1:])
    return buckets[first].astype(np.intp)


def _bytes(found: NDArray[np.uint8]) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Buckets of runs of three and of four bytes."""
    wide = found.astype(np.uint32)
    three = wide[:-2] | wide[1:-1] << np.uint32(8) | wide[2:] << _HALF
    four = three[:-1] | wide[3:] << np.uint32(24)
    return (
        ((three & _THREE_BYTES) * _THREE >> _HALF).astype(np.uint16),
        (four * _FOUR >> _HALF).astype(np.uint16),
    )


def _words(found: NDArray[np.uint8], padded: bytes) -> NDArray[np.uint64]:
    """A 64-bit hash of each word: the same wherever it stands (a polynomial over prefix sums)."""
    inside = np.frombuffer(padded.translate(_WORD_BYTES), np.int8)
    edges = np.diff(inside)
    begins, ends = np.flatnonzero(edges == 1) + 1, np.flatnonzero(edges == -1) + 1
    sums = np.zeros(len(found) + 1, np.uint64)
    np.cumsum((found.astype(np.uint64) + np.uint64(1)) * _POWERS[: len(found)], out=sums[1:])
    return (sums[ends] - sums[begins]) * _INVERSE[begins]
