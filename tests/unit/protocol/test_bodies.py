"""Bounds on the bodies a process holds."""

import pytest

from pilotage_extproc.domain.errors import Refusal, RequestRefused
from pilotage_extproc.protocol.bodies import BodyBudget


def test_a_body_past_its_bound_is_refused_with_413() -> None:
    budget = BodyBudget(max_bytes=10, max_total_bytes=100)
    budget.take(10, body_bytes=10)
    with pytest.raises(RequestRefused) as refused:
        budget.take(1, body_bytes=11)
    assert refused.value.reason is Refusal.BODY_TOO_LARGE
    assert budget.held_bytes == 10


def test_all_bodies_together_past_the_bound_are_refused_with_retry_after() -> None:
    budget = BodyBudget(max_bytes=10, max_total_bytes=15)
    budget.take(10, body_bytes=10)
    with pytest.raises(RequestRefused) as refused:
        budget.take(10, body_bytes=10)
    assert refused.value.reason is Refusal.OVERLOADED
    assert refused.value.retry_after_seconds == 1
    budget.release(10)
    budget.take(10, body_bytes=10)


MIB = 1 << 20


def test_a_large_body_is_admitted_before_it_comes() -> None:
    budget = BodyBudget(max_bytes=4 * MIB, max_total_bytes=8 * MIB)
    first = budget.expect({"content-length": str(3 * MIB)})
    assert first == 3 * MIB
    unknown = budget.expect({})
    assert unknown == 4 * MIB, "one of unknown length may be as large as any"
    with pytest.raises(RequestRefused) as refused:
        budget.expect({"content-length": str(2 * MIB)})
    assert refused.value.reason is Refusal.OVERLOADED
    budget.came(unknown)
    assert budget.expect({"content-length": str(2 * MIB)}) == 2 * MIB


def test_what_is_announced_and_never_sent_is_in_the_way_of_large_bodies_only() -> None:
    budget = BodyBudget(max_bytes=4 * MIB, max_total_bytes=8 * MIB)
    budget.expect({})
    budget.expect({})
    assert budget.expect({"content-length": "2000"}) == 0
    budget.take(2000, body_bytes=2000)


def test_one_of_unknown_length_is_admitted_also_where_all_bodies_have_less_room_than_one_may_have() -> None:
    budget = BodyBudget(max_bytes=4 * MIB, max_total_bytes=2 * MIB)
    assert budget.expect({}) == 2 * MIB


@pytest.mark.parametrize("length", ["-1", "1e9", "٣", "9" * 30, "", "4194305"])
def test_a_length_that_is_none_counts_as_unknown(length) -> None:
    budget = BodyBudget(max_bytes=4 * MIB, max_total_bytes=8 * MIB)
    assert budget.expect({"content-length": length}) == 4 * MIB
