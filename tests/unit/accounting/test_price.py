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
    )
    return Pricing(
        **dict(zip(fields, base, strict=True)),
        tiers=[
            PriceTier(above_input_tokens=above, **dict(zip(fields, prices, strict=True)))
            for above, prices in sorted(tiers.items())
        ],
    )


prices = st.builds(
    pricing,
    st.tuples(money, money, money, money),
    st.dictionaries(st.integers(1, 1_000_000), st.tuples(money, money, money, money), max_size=3),
)


def by_decimals(pricing: Pricing, usage: TokenUsage) -> int:
    """The same sum as the documents state it, in decimals."""
    rates = pricing
    for tier in pricing.tiers:
        if usage.input_tokens > tier.above_input_tokens:
            rates = tier
    plain = usage.input_tokens - usage.cached_input_tokens - usage.cache_write_input_tokens
    dollars = (
        Decimal(rates.input_per_million) * plain
        + Decimal(rates.cached_input_per_million) * usage.cached_input_tokens
        + Decimal(rates.cache_write_per_million) * usage.cache_write_input_tokens
        + Decimal(rates.output_per_million) * usage.output_tokens
    ) / 1_000_000
    return int((dollars * 10**9).to_integral_value(ROUND_CEILING))


@given(prices, tokens, tokens, st.fractions(0, 1), st.fractions(0, 1))
def test_a_cost_is_what_decimals_say(prices, whole, output, cached_share, written_share):
    cached = int(whole * cached_share)
    written = int((whole - cached) * written_share)
    usage = TokenUsage(whole, output, cached, written)
    assert Price.of(prices.snapshot()).cost(usage) == by_decimals(prices, usage)


@given(prices, tokens, tokens, st.tuples(*[st.fractions(0, 1)] * 4))
def test_no_usage_within_a_bound_costs_more_than_the_bound(prices, most_input, most_output, shares):
    whole, output = int(most_input * shares[0]), int(most_output * shares[1])
    cached = int(whole * shares[2])
    usage = TokenUsage(whole, output, cached, int((whole - cached) * shares[3]))
    price = Price.of(prices.snapshot())
    assert price.cost(usage) <= price.most(most_input, most_output)


def test_cached_input_costs_as_input_where_nothing_is_said_of_it():
    price = Price.of(Pricing(input_per_million="2", cached_input_per_million="0.5").snapshot())
    assert price.cost(TokenUsage(1_000_000, 0, 400_000)) == nano_dollars("1.4")
    assert price.cost(TokenUsage(1_000_000, 0, None)) == nano_dollars("2")


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
