"""Delays grow, stay bounded and differ between processes."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from pilotage_kube.backoff import Backoff


@given(seed=st.integers(), tries=st.integers(1, 40))
def test_delays_grow_to_their_bound_and_begin_anew(seed, tries):
    backoff = Backoff(0.1, 5.0, chance=Random(seed))
    delays = [backoff.delay() for _ in range(tries)]
    for number, delay in enumerate(delays):
        nominal = min(0.1 * 2**number, 5.0)
        assert nominal / 2 <= delay <= nominal
    backoff.reset()
    assert backoff.delay() <= 0.1


def test_a_servers_wish_is_kept():
    assert Backoff(0.1, 5.0).delay(at_least=7) == 7
