"""What a request costs: exact, from the tokens that were used and the prices when it was decided.

Prices have nine decimals of dollars per million tokens, so a token's price is a whole number of
femto-dollars. A request's sum is rounded up to a nano-dollar, once.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Self

from pilotage_api.facts_snapshot import PricingSnapshot
from pilotage_extproc.domain.outcome import TokenUsage

_FEMTO_PER_MILLION: Final = 10**9
"""Femto-dollars a token, of one dollar per million tokens."""
_FEMTO: Final = 10**6
"""Femto-dollars in a nano-dollar."""


@dataclass(slots=True, frozen=True)
class Rates:
    """Femto-dollars a token."""

    input: int
    cached: int
    cache_write: int
    output: int
    cache_write_hour: int
    audio_input: int
    audio_output: int

    @classmethod
    def of(cls, pricing: PricingSnapshot) -> Self:
        """The rates of prices, tiers aside."""
        read, written = pricing.input_per_million, pricing.cache_write_per_million
        output = pricing.output_per_million
        hour, heard = pricing.cache_write_hour_per_million, pricing.audio_input_per_million
        spoken = pricing.audio_output_per_million
        return cls(
            _femto(read),
            _femto(pricing.cached_input_per_million),
            _femto(written),
            _femto(output),
            _femto(written if hour is None else hour),
            _femto(read if heard is None else heard),
            _femto(output if spoken is None else spoken),
        )

    @property
    def dearest_input(self) -> int:
        """Most that one token of input may cost, however it is counted."""
        return max(self.input, self.cached, self.cache_write, self.cache_write_hour, self.audio_input)

    @property
    def dearest_output(self) -> int:
        """Most that one token of output may cost."""
        return max(self.output, self.audio_output)


@dataclass(slots=True, frozen=True)
class Price:
    """One model's prices, ready to be multiplied."""

    base: Rates
    tiers: tuple[tuple[int, Rates], ...] = ()
    """Of requests with more input tokens than the bound, from short to long."""

    @classmethod
    def of(cls, pricing: PricingSnapshot) -> Self:
        """The same prices as integers."""
        tiers = tuple((tier.above_input_tokens, Rates.of(tier.prices)) for tier in pricing.tiers)
        return cls(Rates.of(pricing), tiers)

    def cost(self, usage: TokenUsage) -> int:
        """Nano-dollars of a usage, rounded up. What is unknown of it costs nothing.

        Cached and cache-write tokens are part of the input, and cost their own prices, as do tokens of sound
        beside them; more of them than there is input count as no more.
        """
        whole = usage.input_tokens or 0
        cached = min(usage.cached_input_tokens or 0, whole)
        written = min(usage.cache_write_input_tokens or 0, whole - cached)
        for_an_hour = min(usage.cache_write_hour_input_tokens or 0, written)
        heard = min(usage.audio_input_tokens or 0, whole - cached - written)
        made = usage.output_tokens or 0
        spoken = min(usage.audio_output_tokens or 0, made)
        rates = self._rates(whole)
        femto = (
            (whole - cached - written - heard) * rates.input
            + heard * rates.audio_input
            + cached * rates.cached
            + (written - for_an_hour) * rates.cache_write
            + for_an_hour * rates.cache_write_hour
            + (made - spoken) * rates.output
            + spoken * rates.audio_output
        )
        return -(-femto // _FEMTO)

    def most(self, input_tokens: int, output_tokens: int) -> int:
        """Nano-dollars that at most so many tokens can cost, whichever tier they fall in."""
        femto = 0
        for rates in self._reachable(input_tokens):
            femto = max(femto, input_tokens * rates.dearest_input + output_tokens * rates.dearest_output)
        return -(-femto // _FEMTO)

    def _rates(self, input_tokens: int) -> Rates:
        rates = self.base
        for above, of_tier in self.tiers:
            if input_tokens > above:
                rates = of_tier
        return rates

    def _reachable(self, most_input: int) -> list[Rates]:
        return [self.base, *(rates for above, rates in self.tiers if most_input > above)]


def _femto(per_million: Decimal) -> int:
    return int(per_million * _FEMTO_PER_MILLION)
