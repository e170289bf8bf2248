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
_ONE: Final = np.uint64(1)


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
    three, four = _bytes(padded)
    words = _words(padded)
    pairs = words[:-1] * _MIX_PAIR
    pairs += words[1:]
    parts = (three, four, _top(words), _top(pairs))
    buckets = np.empty(sum([len(part) for part in parts]), np.uint16)
    end = 0
    for part in parts:
        begin, end = end, end + len(part)
        buckets[begin:end] = part
    buckets.sort()  # with the search for neighbours a tenth of what unique() takes
    first = np.empty(len(buckets), np.bool_)
    first[0] = True
    np.not_equal(buckets[1:], buckets[:-1], out=first[1:])
    # taking places is half of what taking by truth does
    return buckets.take(first.nonzero()[0]).astype(np.intp)


def _bytes(padded: bytes) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Buckets of runs of three and of four bytes."""
    # four bytes from each place on, read where they lie
    runs = np.ndarray(len(padded) - 2, "<u4", padded + b"\0", strides=(1,)).astype(np.uint32)
    three, four = runs & _THREE_BYTES, runs[:-1]
    three *= _THREE
    three >>= _HALF
    four *= _FOUR
    four >>= _HALF
    return three, four


def _words(padded: bytes) -> NDArray[np.uint64]:
    """A 64-bit hash of each word: the same wherever it stands (a polynomial, moved to the beginning)."""
    found = np.frombuffer(padded, np.uint8)
    inside = np.frombuffer(padded.translate(_WORD_BYTES), np.int8)
    edges = (inside[1:] != inside[:-1]).nonzero()[0]  # begins and ends by turns, since spaces stand around
    edges += 1
    terms = np.add(found, _ONE, dtype=np.uint64)
    terms *= _POWERS[: len(found)]
    if not len(edges):
        return np.empty(0, np.uint64)
    # sums of words and of what is between them by turns; by prefix sums it takes longer
    hashes: NDArray[np.uint64] = np.add.reduceat(terms, edges)[::2]
    hashes *= _INVERSE.take(edges[::2])
    return hashes


def _top(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Their buckets. Each is mixed first: neither half of a polynomial is spread well."""
    mixed = hashes * _MIX
    mixed >>= _TOP
    return mixed
