"""Splits that are sticky by a header, and the clock that rules read."""

from datetime import UTC, datetime

import pytest

from pilotage_extproc.rules.local_time import LocalTime
from pilotage_extproc.rules.routing_index import weighted_order
from pilotage_extproc.rules.sticky import sticky_chances

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


def test_hour_and_weekday_are_those_of_the_zone():
    clock = LocalTime("Europe/Berlin", lambda: datetime(2026, 7, 5, 22, 30, tzinfo=UTC))  # a Sunday
    assert (clock.hour(), clock.weekday()) == (0, 1)
    clock = LocalTime("UTC", lambda: datetime(2026, 7, 5, 22, 30, tzinfo=UTC))
    assert (clock.hour(), clock.weekday()) == (22, 7)
