"""What a predictor found out about a prompt, as objectives read it; None where nothing is known."""

from typing import Protocol, runtime_checkable

from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.scheduling.objective import PROMPT_DOMAIN, PROMPT_GAIN, Gain


@runtime_checkable
class Estimate(Protocol):
    """A value, and how sure it is."""

    @property
    def value(self) -> float:
        """-1 to 1."""

    @property
    def confidence(self) -> float:
        """0 to 1."""


def domain_of(exchange: Exchange) -> str | None:
    """The prompt's domain; None where it has none of those that are known."""
    domain = exchange.known(PROMPT_DOMAIN, None)
    return domain if isinstance(domain, str) and domain not in ("", "other") else None


def gain_of(exchange: Exchange) -> Gain | None:
    """How much better the strong model is expected to be."""
    found = exchange.known(PROMPT_GAIN, None)
    if isinstance(found, Estimate):
        confidence = min(max(float(found.confidence), 0.0), 1.0)
        return Gain(min(max(float(found.value), -1.0), 1.0), confidence)
    if isinstance(found, float | int) and not isinstance(found, bool):
        return Gain(min(max(float(found), -1.0), 1.0), 1.0)
    return None
