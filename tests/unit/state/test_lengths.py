"""Lengths of answers: expectations that never fall with a greater budget, and quantiles."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage_extproc.state.lengths import LengthBook, Lengths


def learned(*tokens):
    lengths = Lengths()
    for one in tokens:
        lengths.observe(one, None)
    return lengths


@given(st.lists(st.integers(1, 100_000), max_size=50), st.lists(st.floats(0.1, 300_000), min_size=2))
def test_a_greater_budget_never_expects_less_and_never_more_than_itself(tokens, budgets):
    lengths = learned(*tokens)
    expected = [lengths.expected(budget) for budget in sorted(budgets)]
    assert expected == sorted(expected)
    assert all(one <= budget + 1e-9 for one, budget in zip(expected, sorted(budgets), strict=True))


@given(st.lists(st.tuples(st.integers(1, 10_000), st.floats(1, 20_000), st.floats(1, 20_000)), min_size=1))
def test_what_is_asked_for_again_is_what_is_known_by_then(answers):
    lengths = Lengths()
    for tokens, bound, most in answers:
        for _ in range(2):
            expected, long = lengths.bounded(most, (bound, float("inf")), 0.9)
            ends = [min(bound, most), most]
            assert expected == [lengths.expected(one) for one in ends]
            assert long == [min(lengths.quantile(0.9), one) for one in ends]
        lengths.observe(tokens, None)


def test_many_bounds_are_not_kept():
    lengths = learned(10)
    for bound in range(1000):
        assert lengths.bounded(5.0, (float(bound),), 0.9)[0] == [lengths.expected(min(5.0, bound))]
    assert len(lengths._by_bounds) <= 16


def test_what_comes_is_what_is_expected():
    lengths = learned(*[100] * 300)
    assert lengths.expected(float("inf")) == pytest.approx(100, rel=0.15)
    assert lengths.expected(50) == pytest.approx(50, rel=0.05)
    assert lengths.quantile(0.9) == pytest.approx(100, rel=0.2)


def test_old_answers_fade():
    lengths = learned(*[1000] * 1000, *[10] * 3000)
    assert lengths.expected(float("inf")) < 100


def test_rules_and_models_are_told_apart_and_bounded():
    book = LengthBook()
    for number in range(4200):
        book.observe("r", f"m{number}", 10, None)
    assert len(book) == 4096
    assert book.of("r", "m4199").seen == 1
    assert book.of("other", "m4199").seen == 0
