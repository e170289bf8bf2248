"""Weights over n-grams: one int8 table for all outputs, a head for each.

A file is one line (`pilotage-predictor VERSION SHA256`), one line of JSON (`Header`), and the table: 65,536
rows of a signed byte for each column. The digest is of all that follows the first line.
"""

import hashlib
from dataclasses import dataclass
from math import sqrt
from typing import Final, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.features.ngrams import BUCKETS, VERSION

MOST_FILE_BYTES: Final = 2 << 20
_ENOUGH_BUCKETS: Final = 24
"""Of a text of about ten letters: fewer say little of a gain and nothing of a domain."""
_MAGIC: Final = b"pilotage-predictor"
FAMILIAR: Final = "familiar"
"""The column that says how common a bucket was in training."""
STRONG_GAIN: Final = "strongGain"
DOMAIN_PREFIX: Final = "domain:"


class PredictorError(Exception):
    """A file that holds no weights this version can use; the message says why and what to do."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What the table's columns are, and where the weights come from."""

    name: str
    """What an operator opts in by."""
    columns: list[str]
    """`domain:math`, …, `strongGain`, `familiar`."""
    scales: list[float]
    """Of a column: what 1 in the table is worth."""
    biases: list[float]
    gain_prior: float = 0.0
    """Mean gain in training: what is predicted of a text nothing is known of."""
    domain_margin: float = 0.0
    """Least lead of the best domain over the next; below it the domain is `other`."""
    unfamiliar: float = 0.0
    """Familiarity from which on confidence is above 0."""
    familiar: float = 1.0
    """Familiarity at which confidence is 1."""
    attack_above: float = 1.0
    """Score above which a text reads like an attack."""
    source: str = ""
    licence: str = ""
    trained_on: int = 0
    """Labels."""


@dataclass(slots=True, frozen=True)
class Prediction:
    """What the weights say of one text."""

    domain: str
    """`other` where no domain is sure."""
    domain_confidence: float
    """0 to 1."""
    gain: float | None
    """Expected quality of the strong model less that of the weak one, -1 to 1; None without such weights."""
    gain_confidence: float
    """0 to 1: how much of it is prediction; the rest is the mean of training."""


OTHER: Final = "other"


class Predictor:
    """Weights that have been read."""

    __slots__ = ("_biases", "_domains", "_familiar", "_gain", "_rows", "_scales", "_table", "header")

    def __init__(self, header: Header, table: NDArray[np.int8]) -> None:
        self.header = header
        columns = header.columns
        # rows of 2, 4, 8, … bytes are taken in half the time: none lies in two lines of the cache
        self._rows = np.zeros((len(table), 1 << (len(columns) - 1).bit_length()), np.int8)
        self._rows[:, : len(columns)] = table
        self._table = self._rows[:, : len(columns)]
        self._scales = np.array(header.scales, np.float32)
        self._biases = np.array(header.biases, np.float32)
        self._domains = [
            (index, name[len(DOMAIN_PREFIX) :])
            for index, name in enumerate(columns)
            if name.startswith(DOMAIN_PREFIX)
        ]
        self._gain = columns.index(STRONG_GAIN) if STRONG_GAIN in columns else None
        self._familiar = columns.index(FAMILIAR)

    @property
    def predicts_gain(self) -> bool:
        """Whether there is a head for the gain."""
        return self._gain is not None

    def column(self, name: str) -> tuple[NDArray[np.float32], float]:
        """The weights of one head and its bias. Raises ValueError where there is no such head."""
        index = self.header.columns.index(name)
        return self._table[:, index].astype(np.float32) * self._scales[index], float(self._biases[index])

    def scores(self, buckets: NDArray[np.intp]) -> NDArray[np.float32]:
        """One figure a column."""
        count = len(buckets)
        if not count:
            return self._biases
        # a product with ones is a quarter of what sum() takes
        rows = self._rows.take(buckets, axis=0).astype(np.float32)
        sums = (np.ones(count, np.float32) @ rows)[: len(self._scales)]
        shares = np.full(len(self._scales), 1 / sqrt(count), np.float32)
        shares[self._familiar] = 1 / count
        scores: NDArray[np.float32] = sums * self._scales * shares + self._biases
        return scores

    def predict(self, buckets: NDArray[np.intp]) -> Prediction:
        """What is expected of a text; of one that is like nothing in training, the mean of training."""
        header = self.header
        if not len(buckets):
            prior = None if self._gain is None else header.gain_prior
            return Prediction(OTHER, 0.0, prior, 0.0)
        scores = self.scores(buckets).tolist()
        span = max(header.familiar - header.unfamiliar, 1e-6)
        known = min(1.0, max(0.0, (scores[self._familiar] - header.unfamiliar) / span))
        enough = len(buckets) >= _ENOUGH_BUCKETS
        domain, confidence = self._domain(scores, known) if enough else (OTHER, 0.0)
        known *= min(1.0, len(buckets) / _ENOUGH_BUCKETS)
        if self._gain is None:
            return Prediction(domain, confidence, None, 0.0)
        predicted = min(1.0, max(-1.0, scores[self._gain]))
        gain = header.gain_prior + known * (predicted - header.gain_prior)
        return Prediction(domain, confidence, gain, known)

    def _domain(self, scores: list[float], known: float) -> tuple[str, float]:
        if not self._domains:
            return OTHER, 0.0
        said = [(scores[index], name) for index, name in self._domains]
        best, name = max(said)
        said.remove((best, name))
        lead = best - max(said)[0] if said else best
        if name == OTHER or lead < self.header.domain_margin or known <= 0:
            return OTHER, 0.0
        return name, known * min(1.0, max(0.0, lead))

    def packed(self) -> bytes:
        """The file these weights are read from."""
        content = msgspec.json.encode(self.header) + b"\n" + self._table.tobytes()
        digest = hashlib.sha256(content).hexdigest().encode()
        return b"%b %d %b\n%b" % (_MAGIC, VERSION, digest, content)

    @classmethod
    def read(cls, packed: bytes) -> Self:
        """Weights out of a file's bytes. Raises PredictorError."""
        if len(packed) > MOST_FILE_BYTES:
            raise PredictorError(f"has more than {MOST_FILE_BYTES} bytes: it is no predictor")
        first, _, content = packed.partition(b"\n")
        words = first.split(b" ")
        if len(words) != 3 or words[0] != _MAGIC:
            raise PredictorError("is no predictor: make one with `pilotage eval train`")
        if words[1] != b"%d" % VERSION:
            told = words[1][:16].decode(errors="replace")
            raise PredictorError(
                f"is of version {told}, not {VERSION}: make it anew with `pilotage eval train`"
            )
        if hashlib.sha256(content).hexdigest().encode() != words[2]:
            raise PredictorError("is corrupt: its digest does not fit; copy it again")
        described, _, table = content.partition(b"\n")
        try:
            header = msgspec.json.decode(described, type=Header)
        except msgspec.DecodeError as error:
            raise PredictorError(f"is corrupt: {error}") from None
        columns = len(header.columns)
        shapes = (len(header.scales), len(header.biases))
        if len(table) != BUCKETS * columns or FAMILIAR not in header.columns or shapes != (columns, columns):
            raise PredictorError("is corrupt: its table does not fit its header")
        return cls(header, np.frombuffer(table, np.int8).reshape(BUCKETS, columns))
