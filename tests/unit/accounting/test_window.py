"""A sliding window never admits more than its bound in any window, and hardly less."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from pilotage_extproc.accounting.claims import (
    SLOTS,
    Admission,
    Amount,
    Granted,
    Hold,
    Settlement,
    WindowClaim,
)
from pilotage_extproc.accounting.memory_store import MemoryStore
from pilotage_extproc.accounting.window import Window
from pilotage_extproc.domain.clock import ManualClock

WINDOW_MS = 10_000
SLOT_SECONDS = WINDOW_MS / SLOTS / 1000


def claim(bound: int, held: int) -> WindowClaim:
    return WindowClaim("limit/a", Amount.TOTAL_TOKENS, bound, held, WINDOW_MS)


steps = st.lists(
    st.tuples(
        st.floats(min_value=0, max_value=4, allow_nan=False),  # seconds until it comes
        st.integers(min_value=0, max_value=60),  # tokens it holds
        st.floats(min_value=0, max_value=1),  # share of them that it uses
        st.floats(min_value=0, max_value=15, allow_nan=False),  # seconds until it ends
    ),
    min_size=1,
    max_size=60,
)


@given(steps=steps, bound=st.integers(min_value=1, max_value=100))
def test_no_window_holds_more_than_its_bound_whatever_ends_when(steps, bound):
    clock = ManualClock()
    store = MemoryStore(clock)
    admitted: list[tuple[float, int, int]] = []
    ends: list[tuple[float, Settlement]] = []
    for number, (after, held, share, lasts) in enumerate(steps):
        due = clock.now + after
        for at, settlement in sorted((one for one in ends if one[0] <= due), key=lambda one: one[0]):
            clock.now = max(clock.now, at)
            store.settle(settlement)
        ends = [one for one in ends if one[0] > due]
        clock.now = due
        wanted = claim(bound, held)
        verdict = store.admit(Admission(f"p-{number}", (wanted,), 900.0))
        if isinstance(verdict, Granted):
            used = int(held * share)
            admitted.append((clock.now, used, held))
            ends.append(
                (clock.now + lasts, Settlement(Hold(f"p-{number}", (wanted,), verdict.slots), (used,), True))
            )
    for start, _, _ in admitted:
        within = [used for at, used, _ in admitted if start <= at < start + WINDOW_MS / 1000]
        assert sum(within) <= bound


@given(bound=st.integers(min_value=1, max_value=50), gap=st.floats(min_value=0.01, max_value=0.5))
def test_a_refusal_says_when_it_fits_and_not_a_slot_too_late(bound, gap):
    clock = ManualClock()
    store = MemoryStore(clock)
    numbers = itertools.count()

    def admitted() -> bool:
        admission = Admission(f"p-{next(numbers)}", (claim(bound, 1),), 900.0)
        return isinstance(store.admit(admission), Granted)

    while admitted():
        clock.advance(gap)
        if next(numbers) > 1000:
            return  # too slow to ever be refused
    refused = store.admit(Admission("p-x", (claim(bound, 1),), 900.0))
    assert not isinstance(refused, Granted)
    wait = refused.retry_after_seconds
    assert wait is not None
    clock.advance(max(0.0, wait - 1.1 * SLOT_SECONDS))
    if wait > 1.1 * SLOT_SECONDS:
        assert not admitted()
    clock.advance(1.1 * SLOT_SECONDS + 1e-3)
    assert admitted()


def test_at_most_a_hundredth_of_the_rate_is_lost():
    clock = ManualClock(0.0)
    store = MemoryStore(clock)
    admitted = 0
    seconds = 200.0
    number = 0
    while clock.now < seconds:
        number += 1
        verdict = store.admit(Admission(f"p-{number}", (claim(1000, 1),), 900.0))
        admitted += isinstance(verdict, Granted)
        clock.advance(0.002)  # five times the rate that is allowed
    windows = seconds * 1000 / WINDOW_MS
    assert 0.99 * 1000 * (windows - 1) <= admitted <= 1000 * windows


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(-5, 20)), max_size=80))
def test_a_window_is_the_sum_of_its_last_slots(steps):
    window, model, now = Window(), {}, 0
    for step, amount in steps:
        now += step
        window.advance(now)
        window.add(now, amount)
        model[now] = model.get(now, 0) + amount
        assert window.total == sum(count for slot, count in model.items() if now - SLOTS <= slot <= now)


def test_what_is_larger_than_the_whole_bound_never_fits():
    store = MemoryStore(ManualClock())
    refused = store.admit(Admission("p-1", (claim(10, 11),), 900.0))
    assert not isinstance(refused, Granted)
    assert refused.retry_after_seconds is None
