"""Weights of pairs of byte classes, by regularised least squares on relative errors, none below zero."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pilotage_extproc.domain.token_classes import BOUNDARY, CLASS_OF_BYTE, CLASSES

Matrix = npt.NDArray[np.float64]

_TOWARDS_CLASS: Final = 0.01
"""How strongly a pair is drawn to the weight of its second class: pairs hardly seen keep about that."""
_TOWARDS_USUAL: Final = 0.001
_USUAL: Final = 0.3
_SWEEPS: Final = 100
_MAIN_LANGUAGES: Final = frozenset(
    f"language {code}" for code in ("ar", "de", "es", "fr", "it", "ja", "ko", "pt", "ru", "zh")
)
_LANGUAGE_SHARE: Final = 0.1
"""Weight of one of the fifty-odd other languages against any other group."""


@dataclass(frozen=True)
class Samples:
    """Texts as counts of pairs of classes, with their tokens."""

    pairs: Matrix
    tokens: Matrix
    shares: Matrix

    @classmethod
    def of(cls, texts: Sequence[str], tokens: Matrix, groups: Sequence[str]) -> "Samples":
        """Groups weigh the same, whatever number of texts they have; the many languages a tenth of that."""
        sizes = {group: groups.count(group) for group in set(groups)}
        shares = [_share(group) / sizes[group] for group in groups]
        return cls(np.array([pair_counts(text) for text in texts]), tokens, np.array(shares))


def _share(group: str) -> float:
    return _LANGUAGE_SHARE if group.startswith("language") and group not in _MAIN_LANGUAGES else 1.0


def pair_counts(text: str) -> Matrix:
    """How often each pair of classes stands in a text, its start included."""
    classes = np.frombuffer(text.encode().translate(CLASS_OF_BYTE), np.uint8).astype(np.intp)
    before = np.concatenate([[BOUNDARY], classes[:-1]])
    return np.bincount(before * CLASSES + classes, minlength=CLASSES**2).astype(np.float64)


def fit(samples: Samples) -> Matrix:
    """Tokens of each pair, `CLASSES` rows (the first class) of `CLASSES`."""
    roots = np.sqrt(samples.shares / samples.shares.mean())
    rows = samples.pairs * (roots / samples.tokens)[:, None]
    by_class = rows.reshape(-1, CLASSES, CLASSES).sum(axis=1)
    classes = _least_squares(by_class, roots, _TOWARDS_USUAL, np.full(CLASSES, _USUAL))
    weights = _least_squares(rows, roots, _TOWARDS_CLASS, np.tile(classes, CLASSES))
    return weights.reshape(CLASSES, CLASSES)


def _least_squares(rows: Matrix, wanted: Matrix, strength: float, prior: Matrix) -> Matrix:
    """Coordinate descent with a ridge towards `prior` and no weight below zero."""
    gram = rows.T @ rows
    gram[np.diag_indices_from(gram)] += strength
    found = prior.copy()
    gradient = gram @ found - rows.T @ wanted - strength * prior
    for _ in range(_SWEEPS):
        for index in range(len(found)):
            moved = max(found[index] - gradient[index] / gram[index, index], 0.0)
            step = moved - found[index]
            if step:
                found[index] = moved
                gradient += step * gram[index]
    return found
