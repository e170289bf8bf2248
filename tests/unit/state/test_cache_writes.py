"""How much of a prompt a model's cache is written with: what usage has told lately."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage_extproc.state.cache_writes import CacheWriteBook


def test_nothing_is_written_until_an_answer_has_said_so():
    assert CacheWriteBook().share("rule", "model") == 0.0


def test_a_share_is_of_tokens_and_not_of_answers():
    book = CacheWriteBook()
    book.observe("rule", "model", uncached=10, written=10)
    book.observe("rule", "model", uncached=990, written=0)
    assert book.share("rule", "model") == pytest.approx(0.01, rel=0.05)
    assert book.share("other", "model") == 0.0


def test_what_changes_is_followed_within_some_answers():
    book = CacheWriteBook()
    for _ in range(200):
        book.observe("rule", "model", uncached=100, written=0)
    for _ in range(200):
        book.observe("rule", "model", uncached=100, written=100)
    assert book.share("rule", "model") > 0.95


@given(st.lists(st.tuples(st.integers(-5, 10**9), st.integers(0, 10**9)), max_size=20))
def test_a_share_lies_between_none_and_all(told):
    book = CacheWriteBook()
    for uncached, written in told:
        book.observe("rule", "model", uncached, written)
    assert 0.0 <= book.share("rule", "model") <= 1.0 + 1e-9


def test_rules_not_heard_of_for_long_are_forgotten():
    book = CacheWriteBook()
    for at in range(5000):
        book.observe(f"rule {at}", "model", 1, 1)
    assert len(book) == 4096
    assert book.share("rule 0", "model") == 0.0
