"""Predicted times: more load never looks faster, quantiles cover, and what nobody knows is not predicted."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_extproc.state.latency import FEATURES, LatencyBook

ROW = np.array([0])
NOW = np.array([0], np.int64)


def idle(waiting=0.0, running=0.0):
    """Features of one endpoint."""
    return [1.0, waiting, running, 0.5, 1.0]


def predicted(book, features, *, row=0, generation=0, quantile=0.9):
    column = np.array(features).reshape(FEATURES, 1)
    first, _ = book.predict("p", "m", np.array([row]), np.array([generation]), column, quantile)
    return first


def taught(book, *, answers=200, seed=1, row=0, slow=1.0):
    """Times of 0.1 s, and 0.05 s for each that waits, a quarter more or less."""
    chance = random.Random(seed)
    for _ in range(answers):
        waiting = float(chance.choice([0, 0, 1, 2, 5, 10]))
        seconds = slow * (0.1 + 0.05 * waiting) * chance.uniform(0.75, 1.25)
        book.observe("p", "m", row, 0, idle(waiting), seconds, 0.01)
    return book


def test_nothing_is_predicted_from_a_few_answers():
    book = taught(LatencyBook(), answers=7)
    assert predicted(book, idle()) is None
    assert LatencyBook().predict("p", "m", ROW, NOW, np.zeros((FEATURES, 1)), 0.9) == (None, None)


def test_what_was_learned_is_predicted():
    book = taught(LatencyBook())
    assert predicted(book, idle(0)).seconds[0] == pytest.approx(0.1, rel=0.2)
    assert predicted(book, idle(10)).seconds[0] == pytest.approx(0.6, rel=0.2)


def test_the_stated_quantile_covers_as_many():
    book, chance = taught(LatencyBook(), answers=500), random.Random(2)
    covered = 0
    for _ in range(1000):
        waiting = float(chance.choice([0, 0, 1, 2, 5, 10]))
        told = predicted(book, idle(waiting))
        covered += (0.1 + 0.05 * waiting) * chance.uniform(0.75, 1.25) <= told.seconds[0] * told.factor
    assert 850 <= covered <= 950


def test_a_slow_server_has_a_factor_of_its_own_and_a_new_one_in_its_row_has_none():
    book = LatencyBook()
    for _ in range(40):
        taught(book, answers=5)
        taught(book, answers=1, row=1, slow=4.0)
    assert predicted(book, idle(), row=1).seconds[0] > 2 * predicted(book, idle(), row=0).seconds[0]
    new = predicted(book, idle(), row=1, generation=1).seconds[0]
    assert new == predicted(book, idle(), row=7).seconds[0]


def test_who_must_wait_is_told_by_places_where_they_are_known():
    book = LatencyBook()
    book.seen("p", "m", np.array([3.0]), np.array([16.0]))
    chance = random.Random(3)
    for _ in range(300):
        running = float(chance.randrange(24))
        seconds = 0.05 + 0.1 * max(0.0, running + 1 - 16)
        book.observe("p", "m", 0, 0, idle(0, running), seconds, None)  # the scrape saw nobody waiting
    assert predicted(book, idle(0, 20)).seconds[0] == pytest.approx(0.55, rel=0.3)
    assert predicted(book, idle(0, 5)).seconds[0] == pytest.approx(0.05, rel=0.5)
    assert not predicted(book, idle()).only_queue


def test_one_that_waits_alone_says_nothing_of_places():
    book = LatencyBook()
    book.seen("p", "m", np.array([1.0]), np.array([1.0]))
    taught(book)
    assert predicted(book, idle(0, 8)).seconds[0] < 0.3


times = st.lists(
    st.tuples(st.floats(0, 50), st.floats(0, 50), st.floats(0.0001, 100)), min_size=8, max_size=40
)


@settings(max_examples=40)
@given(times)
def test_more_load_never_predicts_less_time(answers):
    book = LatencyBook()
    for waiting, running, seconds in answers:
        book.observe("p", "m", 0, 0, idle(waiting, running), seconds, None)
    lighter, heavier = predicted(book, idle(1, 1)), predicted(book, idle(2, 2))
    assert 0 < lighter.seconds[0] <= heavier.seconds[0]
    assert np.isfinite(heavier.seconds[0])


def test_pools_that_are_gone_are_forgotten():
    book = LatencyBook()
    for number in range(1100):
        book.observe("p", f"m{number}", 0, 0, idle(), 0.1, None)
    assert len(book) == 1024
