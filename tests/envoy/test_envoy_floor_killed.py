"""No way round the floor: a picker that is killed takes the requests of its queue with it, and no others."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import openai
import pytest
from queued_pickers import QueuedPickers

Start = Callable[[int], Awaitable[QueuedPickers]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    started: list[QueuedPickers] = []

    async def begin(pickers: int) -> QueuedPickers:
        rig = QueuedPickers(tmp_path, pickers)
        started.append(rig)
        await rig.start()
        await rig.until_served()
        return rig

    yield begin
    for rig in started:
        await rig.stop()


def is_typed(answer: int | openai.APIError) -> bool:
    """Whether an SDK knows what it is: an error object of the API, with a code."""
    return isinstance(answer, openai.InternalServerError) and answer.status_code >= 500 and bool(answer.code)


def reached(rig: QueuedPickers) -> int:
    """Requests that the engine has seen; all of them by way of a picker, which takes keys off."""
    assert [one for one in rig.engine.received if "authorization" in one.headers] == []
    return len(rig.engine.received)


async def test_what_waits_at_a_killed_picker_reaches_no_server_and_ends_with_a_typed_error(start):
    rig = await start(1)
    before = reached(rig)
    asked = await rig.fill(4)
    sent = reached(rig) - before
    waited = await rig.queued(0)
    assert waited >= 4
    await rig.kill_picker(0)
    async with asyncio.timeout(10):
        while sum(task.done() for task in asked) < len(asked) - sent:
            await asyncio.sleep(0.05)
    refused = [task.result() for task in asked if task.done()]
    assert len(refused) == len(asked) - sent >= waited
    assert all(map(is_typed, refused)), refused
    # nobody gets past while it is away
    assert all(map(is_typed, [await rig.ask() for _ in range(3)]))
    assert reached(rig) - before == sent
    # one that takes its place finds no place in the queue taken, and settles what was under way
    await rig.start_picker(0)
    async with asyncio.timeout(60):
        while not await rig.is_back(0):
            await asyncio.sleep(0.2)
    assert await rig.queued(0) == 0
    assert rig.held()[1] == sent
    rig.engine.answers.set()
    assert (await asyncio.gather(*asked)).count(200) == sent
    assert await rig.ask() == 200
    await rig.until_nothing_is_held()


async def test_of_two_pickers_one_goes_on_with_its_queue_when_the_other_is_killed(start):
    rig = await start(2)
    before = reached(rig)
    asked = await rig.fill(3)
    sent = reached(rig) - before
    await rig.kill_picker(0)
    async with asyncio.timeout(10):
        while not any(task.done() for task in asked):
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)
    refused = [task.result() for task in asked if task.done()]
    assert len(refused) >= 3
    assert all(map(is_typed, refused)), refused
    assert reached(rig) - before == sent  # the engine is full: what waits at the other still does
    assert await rig.queued(1) >= 3
    rig.engine.answers.set()
    answers = await asyncio.gather(*asked)
    assert answers.count(200) == len(asked) - len(refused) == reached(rig) - before
    assert await rig.queued(1) == 0
    await rig.until_nothing_is_held()
