"""Splits by weight that are sticky by a header."""

import pytest

from pilotage_extproc.scheduling.weighted_order import sticky_chances, weighted_order

MODELS = ("small", "strong")
USERS = [f"user-{number}" for number in range(5000)]


def first(user: str, *weights: int) -> int:
    return weighted_order(weights, sticky_chances(user, MODELS))[0]


def test_a_value_always_draws_the_same():
    assert [first(user, 9, 1) for user in USERS] == [first(user, 9, 1) for user in USERS]


def test_values_are_split_as_the_weights_say():
    assert sum(first(user, 95, 5) for user in USERS) / len(USERS) == pytest.approx(0.05, abs=0.01)


def test_a_canary_that_grows_keeps_those_it_has():
    before = {user for user in USERS if first(user, 95, 5) == 1}
    after = {user for user in USERS if first(user, 80, 20) == 1}
    assert before < after


def test_any_text_is_a_value():
    assert all(0 < chance <= 1 for chance in sticky_chances("\ud800", MODELS))
