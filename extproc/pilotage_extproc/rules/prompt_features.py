"""What a predictor found out about a prompt, as objectives read it; None where nothing is known."""

import math

from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.scheduling.objective import GAIN_CONFIDENCE, PROMPT_DOMAIN, PROMPT_GAIN, Gain


def domain_of(exchange: Exchange) -> str | None:
    """The prompt's domain; None where it has none of those that are known."""
    domain = exchange.known(PROMPT_DOMAIN, None)
    return domain if isinstance(domain, str) and domain not in ("", "other") else None


def gain_of(exchange: Exchange) -> Gain | None:
    """How much better the strong model is expected to be; sure where nobody says how sure it is."""
    value = _number(exchange.known(PROMPT_GAIN, None), -1.0)
    if value is None:
        return None
    confidence = _number(exchange.known(GAIN_CONFIDENCE, 1.0), 0.0)
    return Gain(value, 0.0 if confidence is None else confidence)


def _number(found: object, least: float) -> float | None:
    """From `least` to 1; None for what is no number."""
    if isinstance(found, bool) or not isinstance(found, float | int) or math.isnan(found):
        return None
    return min(max(float(found), least), 1.0)
