"""What is known of a model: its bounds, what it can do, what it costs and how good it is."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from pilotage_api.decimal_texts import MONEY
from pilotage_api.facts_snapshot import (
    BudgetQualitySnapshot,
    PriceTierSnapshot,
    PricingSnapshot,
    QualityPointSnapshot,
    QualitySnapshot,
)
from pilotage_api.resource import UNIQUE, Block, Problem, unique_by
from pilotage_api.scheduling import Share

Money = Annotated[str, StringConstraints(pattern=MONEY, max_length=19)]
"""An amount of US dollars as decimal text: `"0.05"`."""
Tokens = Annotated[int, Field(ge=1, le=1_000_000_000, strict=True)]
Domain = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$", max_length=32)]
Capability = Literal["tools", "json", "vision", "audio", "reasoning"]

_PER_MILLION: Final = "dollars per million tokens, as decimal text"


class PriceTier(Block):
    """Prices of requests with a longer prompt."""

    above_input_tokens: Tokens
    """The tier holds for requests with more input tokens than this; all of their tokens cost its prices."""
    input_per_million: Money | None = None
    """Input; as below the tier when omitted."""
    cached_input_per_million: Money | None = None
    """Input read from the cache; as below the tier when omitted."""
    cache_write_per_million: Money | None = None
    """Input written to the cache; as below the tier when omitted."""
    cache_write_hour_per_million: Money | None = None
    """Input cached for an hour; as below the tier when omitted, else as `cacheWritePerMillion`."""
    audio_input_per_million: Money | None = None
    """Input that is sound; as below the tier when omitted, else as `inputPerMillion`."""
    output_per_million: Money | None = None
    """Output; as below the tier when omitted."""
    audio_output_per_million: Money | None = None
    """Output that is sound; as below the tier when omitted, else as `outputPerMillion`."""


class Pricing(Block):
    """What a model's tokens cost, in US dollars per million, as decimal text."""

    input_per_million: Money
    """Input tokens."""
    cached_input_per_million: Money | None = None
    """Input tokens read from the prompt cache; as `inputPerMillion` when omitted."""
    cache_write_per_million: Money | None = None
    """Input tokens written to the prompt cache; as `inputPerMillion` when omitted."""
    cache_write_hour_per_million: Money | None = None
    """Those that are kept for an hour (Anthropic's `ttl: 1h`); as `cacheWritePerMillion` when omitted."""
    audio_input_per_million: Money | None = None
    """Input tokens of sound; as `inputPerMillion` when omitted."""
    output_per_million: Money | None = None
    """Output tokens, reasoning included; nothing when omitted, as for embeddings."""
    audio_output_per_million: Money | None = None
    """Output tokens of sound; as `outputPerMillion` when omitted."""
    tiers: list[PriceTier] = Field(default=[], max_length=8, json_schema_extra=unique_by("aboveInputTokens"))
    """Other prices for longer prompts, from short to long."""

    def problems(self) -> Iterable[Problem]:
        """Tiers that are not in order."""
        bounds = [tier.above_input_tokens for tier in self.tiers]
        if bounds != sorted(bounds):
            message = "tiers stand from short prompts to long ones"
            yield Problem("invalid-value", "tiers", message, "sort them by aboveInputTokens")

    def snapshot(self) -> PricingSnapshot:
        """What extproc needs of it: each tier with all of its prices."""
        base = PricingSnapshot(
            input_per_million=Decimal(self.input_per_million),
            cached_input_per_million=_money(self.cached_input_per_million, self.input_per_million),
            cache_write_per_million=_money(self.cache_write_per_million, self.input_per_million),
            output_per_million=_money(self.output_per_million, "0"),
            cache_write_hour_per_million=_known(self.cache_write_hour_per_million),
            audio_input_per_million=_known(self.audio_input_per_million),
            audio_output_per_million=_known(self.audio_output_per_million),
        )
        tiers: list[PriceTierSnapshot] = []
        for tier in self.tiers:
            below = tiers[-1].prices if tiers else base
            given = {
                name: Decimal(price)
                for name, price in tier.model_dump(exclude={"above_input_tokens"}).items()
                if price is not None
            }
            prices = below.model_copy(update=given)
            tiers.append(PriceTierSnapshot(above_input_tokens=tier.above_input_tokens, prices=prices))
        return base.model_copy(update={"tiers": tuple(tiers)})


class DomainQuality(Block):
    """Quality in one kind of task."""

    domain: Domain
    """`math`, `code`, `law`, `medicine`, `business`, `science`, `history`, or one of your own."""
    quality: Share
    """From `"0"` to `"1"`."""


class QualityPoint(Block):
    """Quality with a budget of output tokens."""

    tokens: Tokens
    """The output budget."""
    quality: Share
    """From `"0"` to `"1"`."""


class BudgetQuality(Block):
    """Quality by output budget, for one way of enforcing it."""

    enforce: Literal["instruct", "clamp"]
    """How the budget is kept: the model is told it, or its answer ends there."""
    domain: Domain | None = None
    """For one domain only; for all without a curve of their own when omitted."""
    points: list[QualityPoint] = Field(min_length=1, max_length=16, json_schema_extra=unique_by("tokens"))
    """From small budgets to large ones; between them quality is interpolated."""

    def problems(self) -> Iterable[Problem]:
        """Points that are not in order."""
        tokens = [point.tokens for point in self.points]
        if tokens != sorted(tokens):
            message = "points stand from small budgets to large ones"
            yield Problem("invalid-value", "points", message, "sort them by tokens")


class Quality(Block):
    """How good a model's answers are expected to be, from `"0"` to `"1"`, on one scale for all models."""

    default: Share
    """For whatever is not said below."""
    domains: list[DomainQuality] = Field(default=[], max_length=32, json_schema_extra=unique_by("domain"))
    """By kind of task."""
    by_budget: list[BudgetQuality] = Field(default=[], max_length=64)
    """By output budget."""

    def problems(self) -> Iterable[Problem]:
        """Two curves for the same thing."""
        curves = [(one.enforce, one.domain) for one in self.by_budget]
        for index, curve in enumerate(curves):
            if curve in curves[:index]:
                message = f"the same enforce and domain as byBudget[{curves.index(curve)}]"
                yield Problem("duplicate-item", f"byBudget[{index}]", message, "make them one curve")

    def snapshot(self) -> QualitySnapshot:
        """What extproc needs of it."""
        return QualitySnapshot(
            default=float(self.default),
            domains={one.domain: float(one.quality) for one in self.domains},
            by_budget=tuple(
                BudgetQualitySnapshot(
                    enforce=curve.enforce,
                    domain=curve.domain,
                    points=tuple(
                        QualityPointSnapshot(tokens=point.tokens, quality=float(point.quality))
                        for point in curve.points
                    ),
                )
                for curve in self.by_budget
            ),
        )


class ModelFacts(Block):
    """What is known of a model; what is left out is unknown, and nothing is decided on it."""

    context_window: Tokens | None = None
    """Tokens of prompt and answer together."""
    max_output_tokens: Tokens | None = None
    """Tokens of one answer."""
    capabilities: list[Capability] | None = Field(default=None, max_length=8, json_schema_extra=UNIQUE)
    """What the model can do; it cannot do what a list leaves out. Unknown when omitted."""
    pricing: Pricing | None = None
    """What its tokens cost."""
    quality: Quality | None = None
    """How good its answers are expected to be."""

    def problems(self) -> Iterable[Problem]:
        """An answer longer than the window."""
        window, answer = self.context_window, self.max_output_tokens
        if window is not None and answer is not None and answer > window:
            message = f"more than contextWindow, {window}"
            yield Problem("invalid-value", "maxOutputTokens", message, "an answer fits in the window")


def _known(given: str | None) -> Decimal | None:
    return None if given is None else Decimal(given)


def _money(given: str | None, otherwise: str) -> Decimal:
    return Decimal(otherwise if given is None else given)
