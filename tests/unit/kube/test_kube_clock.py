"""The manual clock and bounded waiting."""

import asyncio

import pytest

from pilotage_kube.clock import ManualTime, SystemTime, settle, within


async def test_sleepers_wake_in_order_each_at_its_own_moment():
    clock = ManualTime(0)
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float, then: float = 0) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock()))
        if then:
            await clock.sleep(then)
            woken.append((name, clock()))

    tasks = [asyncio.create_task(sleeper("late", 5)), asyncio.create_task(sleeper("early", 1, 1))]
    await clock.advance(4)
    assert woken == [("early", 1), ("early", 2)]
    await clock.advance(1)
    assert woken[-1] == ("late", 5)
    assert clock() == 5
    await asyncio.gather(*tasks)


async def test_work_that_takes_too_long_is_cancelled_and_waited_for():
    clock = ManualTime()
    ended = False

    async def work() -> None:
        nonlocal ended
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended = True

    bounded = asyncio.create_task(within(clock, 3, work()))
    await clock.advance(2.9)
    assert not bounded.done()
    await clock.advance(0.1)
    with pytest.raises(TimeoutError):
        await bounded
    assert ended


async def test_work_in_time_gives_its_result_or_its_error():
    async def fails() -> None:
        raise ValueError("broken")

    assert await within(SystemTime(), 5, asyncio.sleep(0, "done")) == "done"
    with pytest.raises(ValueError, match="broken"):
        await within(SystemTime(), 5, fails())


async def test_whoever_is_cancelled_while_waiting_cancels_the_work():
    cancelled = False

    async def work() -> None:
        nonlocal cancelled
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled = True
            raise

    bounded = asyncio.create_task(within(ManualTime(), 5, work()))
    await settle()
    bounded.cancel()
    await asyncio.gather(bounded, return_exceptions=True)
    assert cancelled
