"""Costs are exact: integers inside agree with decimals, in every tier, and a bound is never below."""

from decimal import ROUND_CEILING, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage_api.model_facts import PriceTier, Pricing
from pilotage_api.money import dollars_text, nano_dollars
from pilotage_extproc.accounting.price import Price
from pilotage_extproc.domain.outcome import TokenUsage

money = st.decimals(min_value=0, max_value=1000, places=9).map(lambda amount: f"{amount:.9f}")
tokens = st.integers(min_value=0, max_value=2_000_000)


def pricing(base, tiers) -> Pricing:
    fields = (
        "input_per_million",
        "cached_input_per_million",
        "cache_write_per_million",
        "output_per_million",
        "cache_write_hour_per_million",
        "audio_input_per_million",
        "audio_output_per_million",
    )
    return Pricing(
        **dict(zip(fields, base, strict=True)),
        tiers=[
            PriceTier(above_input_tokens=above, **dict(zip(fields, prices, strict=True)))
            for above, prices in sorted(tiers.items())
        ],
    )


seven = st.tuples(*[money] * 7)
prices = st.builds(pricing, seven, st.dictionaries(st.integers(1, 1_000_000), seven, max_size=3))


def by_decimals(pricing: Pricing, usage: TokenUsage) -> int:
    """The same sum as the documents state it, in decimals."""
    rates = pricing
    for tier in pricing.tiers:
        if usage.input_tokens > tier.above_input_tokens:
            rates = tier
    written = usage.cache_write_input_tokens - usage.cache_write_hour_input_tokens
    plain = usage.input_tokens - usage.cached_input_tokens - usage.cache_write_input_tokens
    plain -= usage.audio_input_tokens
    dollars = (
        Decimal(rates.input_per_million) * plain
        + Decimal(rates.cached_input_per_million) * usage.cached_input_tokens
        + Decimal(rates.cache_write_per_million) * written
        + Decimal(rates.cache_write_hour_per_million) * usage.cache_write_hour_input_tokens
        + Decimal(rates.audio_input_per_million) * usage.audio_input_tokens
        + Decimal(rates.output_per_million) * (usage.output_tokens - usage.audio_output_tokens)
        + Decimal(rates.audio_output_per_million) * usage.audio_output_tokens
    ) / 1_000_000
    return int((dollars * 10**9).to_integral_value(ROUND_CEILING))


def split(whole: int, output: int, shares) -> TokenUsage:
    """A usage of tokens of every kind there is."""
    cached = int(whole * shares[0])
    written = int((whole - cached) * shares[1])
    hour, heard = int(written * shares[2]), int((whole - cached - written) * shares[3])
    spoken = int(output * shares[4])
    return TokenUsage(whole, output, cached, written, None, hour, heard, spoken)


shares_of_five = st.tuples(*[st.fractions(0, 1)] * 5)


@given(prices, tokens, tokens, shares_of_five)
def test_a_cost_is_what_decimals_say(prices, whole, output, shares):
    usage = split(whole, output, shares)
    assert Price.of(prices.snapshot()).cost(usage) == by_decimals(prices, usage)


@given(prices, tokens, tokens, st.fractions(0, 1), st.fractions(0, 1), shares_of_five)
def test_no_usage_within_a_bound_costs_more_than_the_bound(
    prices, most_input, most_output, of_input, of_output, shares
):
    usage = split(int(most_input * of_input), int(most_output * of_output), shares)
    price = Price.of(prices.snapshot())
    assert price.cost(usage) <= price.most(most_input, most_output)


def test_cached_input_costs_as_input_where_nothing_is_said_of_it():
    price = Price.of(Pricing(input_per_million="2", cached_input_per_million="0.5").snapshot())
    assert price.cost(TokenUsage(1_000_000, 0, 400_000)) == nano_dollars("1.4")
    assert price.cost(TokenUsage(1_000_000, 0, None)) == nano_dollars("2")


def test_tokens_of_sound_and_of_an_hour_cost_as_others_where_nothing_is_said_of_them():
    said = Pricing(input_per_million="2", cache_write_per_million="2.5", output_per_million="8")
    tiered = said.model_copy(
        update={"tiers": [PriceTier(above_input_tokens=10**6, input_per_million="4", output_per_million="9")]}
    )
    used = TokenUsage(1_000_000, 100_000, None, 200_000, None, 200_000, 300_000, 100_000)
    assert Price.of(said.snapshot()).cost(used) == nano_dollars("1.6") + nano_dollars("1.3")
    longer = TokenUsage(2_000_000, 100_000, None, 0, None, 0, 2_000_000, 100_000)
    assert Price.of(tiered.snapshot()).cost(longer) == nano_dollars("8.9")


def test_a_tier_keeps_a_price_of_sound_from_below_it():
    tier = PriceTier(above_input_tokens=10, input_per_million="4")
    said = Pricing(input_per_million="2", audio_input_per_million="40", tiers=[tier])
    assert Price.of(said.snapshot()).cost(TokenUsage(100, 0, audio_input_tokens=100)) == 100 * 40_000


def test_more_tokens_of_a_kind_than_there_are_cost_no_more_than_all():
    price = Price.of(Pricing(input_per_million="2", audio_output_per_million="8").snapshot())
    assert price.cost(TokenUsage(100, 10, None, 50, None, 10**9, 10**9, 10**9)) == 100 * 2000 + 10 * 8000


def test_more_cached_tokens_than_input_cost_no_more_than_the_input():
    price = Price.of(Pricing(input_per_million="2", cached_input_per_million="0.5").snapshot())
    assert price.cost(TokenUsage(100, 0, 1_000_000, 1_000_000)) == 100 * 500


@given(st.integers(min_value=-(10**15), max_value=10**15))
def test_money_is_decimal_text_and_back(nano):
    text = dollars_text(nano)
    assert nano_dollars(text) == nano
    assert Fraction(text) == Fraction(nano, 10**9)


def test_money_finer_than_a_nano_dollar_is_refused():
    with pytest.raises(ValueError, match="nine decimals"):
        nano_dollars("0.0000000001")
