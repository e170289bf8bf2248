"""The contracts of filters and scorers: columns in, columns out, units stated.

A scorer takes the whole candidate table and returns one column in a stated unit. Turning columns
into comparable values and weighting them is a later, separate step, so that an explanation can show
what was measured.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.scheduling.candidates import CandidateView


class Filter(Protocol):
    """Drops candidates that cannot serve."""

    @property
    def reason(self) -> str:
        """Why a dropped candidate was dropped."""

    def keep(self, view: CandidateView) -> NDArray[np.bool_] | None:
        """True where a candidate stays; None keeps all."""


class Scorer(Protocol):
    """Measures candidates."""

    @property
    def name(self) -> str:
        """As in `ModelPool.spec.scheduling` and explanations."""

    @property
    def unit(self) -> str:
        """Of the column: requests, tokens, seconds, dollars, share."""

    @property
    def half(self) -> float:
        """The measure, in `unit`, at which a lower-is-better value has lost half its worth."""

    def score(self, view: CandidateView) -> NDArray[np.float64]:
        """One value a candidate, lower is better; NaN is unknown and worth the worst known."""


@dataclass(slots=True, frozen=True)
class Weighted:
    """A scorer and what it counts."""

    scorer: Scorer
    weight: float
