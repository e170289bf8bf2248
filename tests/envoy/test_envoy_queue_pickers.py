"""Two whole gateways before one server whose page never shows a request: pickers know it of each other."""

import asyncio

import numpy as np
import pytest
from envoy_rig import fixed
from whole_gateway import WholeGateway

ROW = np.array([0])
POOLS = frozenset({"default/m"})
PAGE = b"vllm:num_requests_running 0\nvllm:num_requests_waiting 0\nvllm:kv_cache_usage_perc 0.1\n"


@pytest.fixture
async def two(tmp_path, start_server):
    held = asyncio.Event()

    async def answer(request, writer):
        if request.path == "/metrics":
            await fixed(200, PAGE, "text/plain")(request, writer)
            return
        await held.wait()
        await fixed(200, b'{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}')(
            request, writer
        )

    server = await start_server(answer)
    gateways = [
        WholeGateway(
            tmp_path / name,
            {"m": [server]},
            {},
            pool={"engine": "vllm", "admission": {"queueDepth": 1}},
            spec={"queue": {"maxWait": "30s"}},
        )
        for name in ("one", "other")
    ]
    for gateway in gateways:
        await gateway.start()
    for gateway, other in (gateways, gateways[::-1]):
        gateway.runtime.peers.follow({other.gateway.server.address: ""})
        await gateway.until(lambda table=gateway.runtime.state.table: bool(table.scraped_at[0] > 0))
    for gateway in gateways:
        await gateway.until(lambda peers=gateway.runtime.peers: peers.pickers() == 2)
    yield (*gateways, held)
    held.set()
    for gateway in gateways:
        await gateway.stop()


async def test_requests_at_one_picker_take_room_at_the_other(two):
    one, other, held = two
    room = other.runtime.deciding.room
    await one.until(
        lambda: bool(one.runtime.state.peer_load._told) and bool(other.runtime.state.peer_load._told)
    )
    before = room.free(POOLS)
    asked = [asyncio.create_task(one.chat()) for _ in range(3)]
    await other.until(lambda: room.free(POOLS) == before - 3, 5)
    assert float(np.sum(other.runtime.state.peer_load.inflight(ROW))) == 3
    held.set()
    assert {status for status, _, _ in await asyncio.gather(*asked)} == {200}
    await other.until(lambda: room.free(POOLS) == before, 5)


async def test_a_request_waits_at_one_picker_until_those_of_the_other_have_ended(two):
    one, other, held = two
    room = one.runtime.deciding.room
    asked = []
    known = other.runtime.state.peer_load
    for count in range(1, 10):
        asked.append(asyncio.create_task(one.chat()))
        await other.until(lambda count=count: float(np.sum(known.inflight(ROW))) == count)
    assert room.free(POOLS) < 1
    waits = asyncio.create_task(other.chat())
    await other.until(lambda: len(other.runtime.deciding.line) == 1)
    held.set()
    status, _, _ = await asyncio.wait_for(waits, 5)
    assert status == 200
    await asyncio.gather(*asked)
