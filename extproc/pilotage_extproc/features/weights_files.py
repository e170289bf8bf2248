"""Files of weights: the shipped one, and an operator's own. One that cannot be used is done without."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pilotage_extproc.features.predictor import MOST_FILE_BYTES, Predictor, PredictorError

log = logging.getLogger(__name__)

SHIPPED: Final = Path(__file__).parent / "weights/shipped.predictor"
SHIPPED_NAME: Final = "mixtral-8x7b-vs-gpt-4-1106"
"""The pair of models whose gain the shipped weights know."""


@dataclass(slots=True, frozen=True)
class Weights:
    """What topics and gain are predicted by; None where nothing is."""

    domain: Predictor | None = None
    gain: Predictor | None = None
    no_domain: str = ""
    """Why there is none."""
    no_gain: str = ""


OFF: Final = (
    "off: the shipped weights know one old pair of models; set promptFeatures.gainFile to weights of your own"
    f" labels (pilotage eval train), or promptFeatures.shippedGain to {SHIPPED_NAME}"
)


def load_weights(*, shipped_gain: str | None, gain_file: str | None, shipped: Path = SHIPPED) -> Weights:
    """Weights as the settings name them. Never raises: what cannot be read is logged, and done without."""
    domain, no_domain = _read(shipped)
    if gain_file is not None:
        gain, no_gain = _read(Path(gain_file))
        if gain is not None and not gain.predicts_gain:
            gain, no_gain = None, f"{gain_file}: has no weights for the gain"
            log.error("no weights for prompt.strongGain", extra={"file": gain_file})
    elif shipped_gain is None:
        gain, no_gain = None, OFF
    elif domain is not None and domain.header.name != shipped_gain:
        gain, no_gain = None, f"no weights named {shipped_gain!r} ship with this version"
    else:
        gain, no_gain = domain, no_domain
    return Weights(domain, gain, no_domain, no_gain)


def read_predictor(path: Path) -> Predictor:
    """Weights out of a file. Raises PredictorError, with the file's name."""
    try:
        with path.open("rb") as file:
            packed = file.read(MOST_FILE_BYTES + 1)
    except OSError as error:
        raise PredictorError(f"{path}: {error.strerror}") from None
    try:
        return Predictor.read(packed)
    except PredictorError as error:
        raise PredictorError(f"{path}: {error}") from None


def _read(path: Path) -> tuple[Predictor | None, str]:
    try:
        return read_predictor(path), ""
    except PredictorError as error:
        log.error("a predictor is done without: models' stated quality is used", extra={"reason": str(error)})
        return None, str(error)
