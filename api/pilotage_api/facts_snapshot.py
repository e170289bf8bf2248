"""What is known of a model, as extproc gets it."""

from decimal import Decimal
from typing import Literal

from pydantic import Field

from pilotage_api.part import Part

Enforcement = Literal["instruct", "clamp"]
"""How an output budget is kept: the model is told it, or its answer ends there."""


class PricingSnapshot(Part):
    """Prices in US dollars per million tokens."""

    input_per_million: Decimal
    cached_input_per_million: Decimal
    cache_write_per_million: Decimal
    output_per_million: Decimal
    cache_write_hour_per_million: Decimal | None = None
    """None is as other cache writes."""
    audio_input_per_million: Decimal | None = None
    """None is as other input."""
    audio_output_per_million: Decimal | None = None
    """None is as other output."""
    tiers: tuple["PriceTierSnapshot", ...] = ()
    """Of longer prompts, from short to long; the last one that holds counts."""


class PriceTierSnapshot(Part):
    """Prices of requests with more input tokens than a bound."""

    above_input_tokens: int
    prices: PricingSnapshot


class QualityPointSnapshot(Part):
    """Quality, 0 to 1, with an output budget."""

    tokens: int
    quality: float


class BudgetQualitySnapshot(Part):
    """A curve of quality by output budget."""

    enforce: Enforcement
    domain: str | None
    points: tuple[QualityPointSnapshot, ...]


class QualitySnapshot(Part):
    """Expected quality of a model's answers, 0 to 1."""

    default: float
    domains: dict[str, float] = Field(default={})
    by_budget: tuple[BudgetQualitySnapshot, ...] = ()


class ModelSnapshot(Part):
    """What is known of one model of a pool; None is unknown."""

    upstream_model: str
    """What the pool's servers call it."""
    name: str
    adapters: tuple[str, ...] = ()
    """Upstream names of its adapters: what is known of the model holds for them."""
    context_window: int | None = None
    max_output_tokens: int | None = None
    capabilities: tuple[str, ...] | None = None
    """Sorted; it lacks those that are not there."""
    pricing: PricingSnapshot | None = None
    quality: QualitySnapshot | None = None

    @property
    def says_anything(self) -> bool:
        """Whether anything is known of it beyond its names."""
        return any(
            known is not None
            for known in (
                self.context_window,
                self.max_output_tokens,
                self.capabilities,
                self.pricing,
                self.quality,
            )
        )
