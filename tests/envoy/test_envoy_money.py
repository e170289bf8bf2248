"""Money through a real Envoy, two pickers and a real Valkey: right by the engine's books after each fault."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from money_engine import PRICING
from money_rig import MoneyRig


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[MoneyRig]:
    rig = MoneyRig(tmp_path)
    try:
        await rig.start()
        yield rig
    finally:
        await rig.stop()


async def test_a_picker_that_is_killed_with_requests_under_way_leaves_no_hold_and_loses_no_money(rig):
    async def load() -> list[int]:
        return [await rig.ask("cut" if number % 8 == 7 else "whole") for number in range(25)]

    hanging = [asyncio.create_task(rig.ask("hang")) for _ in range(6)]
    clients = [asyncio.create_task(load()) for _ in range(6)]
    await rig.engine.hangs(6)
    await asyncio.sleep(0.3)
    await rig.kill_picker(0)  # it also receives entries: a half of the first ones, and copies
    rig.engine.goes_on.set()
    statuses = [status for found in await asyncio.gather(*clients) for status in found]
    assert await asyncio.gather(*hanging) == [200] * 6
    assert statuses.count(200) > len(statuses) - 40
    # what was admitted and never sent is held until its lease ends; it was not answered either
    await rig.agrees(unsent=len(statuses) - statuses.count(200))


async def test_a_store_that_is_killed_and_comes_back_empty_has_the_same_books_again(rig):
    hanging = [asyncio.create_task(rig.ask("hang")) for _ in range(4)]
    assert await asyncio.gather(*(rig.ask() for _ in range(20))) == [200] * 20
    await rig.engine.hangs(4)
    rig.valkey.kill()
    assert await rig.ask() == 503
    rig.engine.goes_on.set()
    assert await asyncio.gather(*hanging) == [200] * 4  # they end while there is no store
    rig.valkey.start()
    await rig.until_admitted()
    await asyncio.gather(*(rig.ask() for _ in range(10)))
    await rig.agrees()


async def test_a_store_that_is_slow_refuses_in_time_and_is_right_afterwards(rig):
    statuses: list[int] = []

    async def client() -> None:
        statuses.extend([await rig.ask() for _ in range(12)])

    clients = [asyncio.create_task(client()) for _ in range(4)]
    while rig.engine.whole < 20:
        await asyncio.sleep(0.01)
    for _ in range(2):
        rig.valkey.freeze()
        await asyncio.sleep(1.5)  # half a second more than it is waited for
        rig.valkey.thaw()
        await asyncio.sleep(0.5)
    await asyncio.gather(*clients)
    assert set(statuses) <= {200, 503}
    await rig.agrees()


async def test_a_picker_that_is_cut_off_from_the_store_refuses_and_settles_later(rig):
    hanging = [asyncio.create_task(rig.ask("hang")) for _ in range(6)]
    await rig.engine.hangs(6)
    rig.proxy.cut()
    statuses = [await rig.ask() for _ in range(16)]
    assert set(statuses) == {200, 503}
    rig.engine.goes_on.set()
    assert await asyncio.gather(*hanging) == [200] * 6
    rig.proxy.mend()
    await rig.agrees()


async def test_streams_that_are_cut_and_clients_that_leave_are_booked_as_far_as_they_came(rig):
    leave = asyncio.Event()
    asked = [asyncio.create_task(rig.ask(how)) for how in ("whole", "cut") * 8]
    asked += [asyncio.create_task(rig.ask("left", leave)) for _ in range(4)]
    await rig.engine.hangs(4)
    # the price of those under way is that of their decision
    rig.write_pricing(dict.fromkeys(PRICING, "50"), 0, 1)
    await asyncio.gather(*asked[:16])
    await asyncio.sleep(0.5)
    leave.set()
    await asyncio.gather(*asked)
    await asyncio.sleep(0.3)
    rig.engine.goes_on.set()
    await rig.agrees()
    assert rig.engine.cut == 12
