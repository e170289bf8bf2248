"""Texts become the same buckets wherever their words stand, and nothing else."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pilotage_extproc.features.ngrams import BUCKETS, MOST_BYTES, buckets_of


@given(st.binary(max_size=6000))
def test_any_bytes_give_sorted_buckets_each_once(text):
    found = buckets_of(text)
    assert (np.diff(found) > 0).all()
    assert not len(found) or (found[0] >= 0 and found[-1] < BUCKETS)
    assert np.array_equal(found, buckets_of(text[:MOST_BYTES]))


@given(st.lists(st.text("abcdefgh", min_size=1, max_size=6), min_size=1, max_size=6), st.integers(0, 40))
def test_words_have_the_same_buckets_wherever_they_stand(words, before):
    text = " ".join(words).encode()
    moved = b"\n" * before + text
    alone = {tuple(buckets_of(b" " + word.encode() + b" ")) for word in words}
    assert all(set(one) & set(buckets_of(moved).tolist()) for one in alone)
    # what is between words counts as bytes, but words and their pairs stay
    assert set(buckets_of(text).tolist()) <= set(buckets_of(b" " + text + b" ").tolist())


def test_case_does_not_matter():
    assert np.array_equal(buckets_of(b"What is a Prime?"), buckets_of(b"what is a prime?"))


def test_an_empty_text_has_none():
    assert len(buckets_of(b"")) == 0


def test_a_known_text_keeps_its_buckets():
    """Shipped weights stand for these: another hash needs another VERSION and new weights."""
    assert buckets_of(b"ab").tolist() == [4128, 20276, 33229, 37409]
