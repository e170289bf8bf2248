"""Bounds on the bodies a process holds."""

import asyncio

import pytest

from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.envoy.ext_proc.body_budget import BodyBudget


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


def budget_of(max_bytes: int, max_total_bytes: int, wait_seconds: float = 0.0) -> BodyBudget:
    return BodyBudget(max_bytes=max_bytes, max_total_bytes=max_total_bytes, wait_seconds=wait_seconds)


async def test_a_large_body_is_admitted_before_it_comes() -> None:
    budget = budget_of(4 * MIB, 8 * MIB)
    first = await budget.expect({"content-length": str(3 * MIB)})
    assert first == 3 * MIB
    unknown = await budget.expect({})
    assert unknown == 4 * MIB, "one of unknown length may be as large as any"
    with pytest.raises(RequestRefused) as refused:
        await budget.expect({"content-length": str(2 * MIB)})
    assert refused.value.reason is Refusal.OVERLOADED
    budget.came(unknown)
    assert await budget.expect({"content-length": str(2 * MIB)}) == 2 * MIB


async def test_what_is_announced_and_never_sent_is_in_the_way_of_large_bodies_only() -> None:
    budget = budget_of(4 * MIB, 8 * MIB)
    await budget.expect({})
    await budget.expect({})
    assert await budget.expect({"content-length": "2000"}) == 0
    budget.take(2000, body_bytes=2000)


async def test_those_that_do_not_fit_at_once_wait_for_their_turn() -> None:
    budget = budget_of(4 * MIB, 4 * MIB, wait_seconds=5.0)
    first = await budget.expect({})
    waiting = [asyncio.create_task(budget.expect({})) for _ in range(3)]
    await asyncio.sleep(0)
    assert [one.done() for one in waiting] == [False] * 3
    budget.came(first)
    budget.take(100, body_bytes=100)
    await asyncio.sleep(0)
    budget.release(100)
    assert await waiting[0] == 4 * MIB
    waiting[1].cancel()
    await asyncio.gather(waiting[1], return_exceptions=True)
    budget.came(4 * MIB)
    assert await waiting[2] == 4 * MIB
    budget.came(4 * MIB)
    assert (budget.expected_bytes, budget.held_bytes) == (0, 0)


async def test_a_turn_that_comes_as_its_request_leaves_goes_to_the_next() -> None:
    budget = budget_of(4 * MIB, 4 * MIB, wait_seconds=5.0)
    first = await budget.expect({})
    leaving, next_one = asyncio.create_task(budget.expect({})), asyncio.create_task(budget.expect({}))
    await asyncio.sleep(0)
    budget.came(first)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    if not leaving.cancelled():
        budget.came(leaving.result())
    assert await next_one == 4 * MIB
    budget.came(4 * MIB)
    assert budget.expected_bytes == 0


async def test_who_waits_in_vain_leaves_no_trace() -> None:
    budget = budget_of(4 * MIB, 4 * MIB, wait_seconds=0.01)
    first = await budget.expect({})
    for _ in range(3):
        with pytest.raises(RequestRefused):
            await budget.expect({})
    budget.came(first)
    assert await budget.expect({}) == 4 * MIB
    assert budget.expected_bytes == 4 * MIB


async def test_one_of_unknown_length_is_admitted_also_where_all_bodies_have_less_room_than_one_may_have() -> (
    None
):
    assert await budget_of(4 * MIB, 2 * MIB).expect({}) == 2 * MIB


@pytest.mark.parametrize("length", ["-1", "1e9", "\u0663", "9" * 30, "", "4194305"])
async def test_a_length_that_is_none_counts_as_unknown(length) -> None:
    assert await budget_of(4 * MIB, 8 * MIB).expect({"content-length": length}) == 4 * MIB
