"""Whether a text reads like an attack on a prompt: a signal, not a proof.

The weights find about a quarter of attacks of kinds they were not fitted on, where they flag 0.5% of benign
texts (`python -m bench.attacks`).
"""

import logging
from pathlib import Path
from typing import Final, Self

from pilotage_extproc.features.ngrams import MOST_BYTES, buckets_of
from pilotage_extproc.features.predictor import Predictor, PredictorError
from pilotage_extproc.features.weights_files import read_predictor

log = logging.getLogger(__name__)

ATTACK: Final = "attack"
"""The column of the weights."""
SHIPPED: Final = Path(__file__).parent / "weights/attacks.predictor"


class AttackSignal:
    """The shipped weights."""

    def __init__(self, predictor: Predictor) -> None:
        """Raises ValueError where it has no such column."""
        self._predictor = predictor
        self._column = predictor.header.columns.index(ATTACK)
        self._above = predictor.header.attack_above

    @classmethod
    def shipped(cls) -> Self | None:
        """Those of this version; None, and an error in the log, where they cannot be read."""
        try:
            return cls(read_predictor(SHIPPED))
        except PredictorError as error:
            log.error("attacks on prompts are not told", extra={"reason": str(error)})
            return None

    def score(self, text: bytes) -> float:
        """Of the first 4 KiB of a text; about 0 of a benign one and 1 of an attack."""
        return float(self._predictor.scores(buckets_of(text))[self._column])

    def is_raised(self, text: bytes) -> bool:
        """Whether the beginning or the end of a text reads like an attack."""
        ends = (text,) if len(text) <= MOST_BYTES else (text[:MOST_BYTES], text[-MOST_BYTES:])
        return any(self.score(end) > self._above for end in ends)
