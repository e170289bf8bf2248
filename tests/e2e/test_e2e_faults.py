"""What a dying server costs, counted by how far each request had come."""

import asyncio
from collections import Counter

import aiohttp
from gateway_rig import GatewayRig

PROMPT = [{"role": "user", "content": "Why is the sky blue?"}]


async def unstreamed(session: aiohttp.ClientSession, url: str, tokens: int) -> str:
    body = {"model": "small", "messages": PROMPT, "max_tokens": tokens}
    try:
        async with session.post(f"{url}/v1/chat/completions", json=body) as answer:
            await answer.read()
            return "answered" if answer.status == 200 else f"status {answer.status}"
    except aiohttp.ClientError as error:
        return f"lost: {type(error).__name__}"


async def streamed(session: aiohttp.ClientSession, url: str, tokens: int, first: asyncio.Event) -> str:
    body = {"model": "small", "messages": PROMPT, "max_tokens": tokens, "stream": True}
    seen = False
    try:
        async with session.post(f"{url}/v1/chat/completions", json=body) as answer:
            if answer.status != 200:
                return f"status {answer.status}"
            async for line in answer.content:
                if line.startswith(b"data: {") and not seen:
                    seen = True
                    first.set()
                if line.startswith(b"data: [DONE]"):
                    return "answered"
    except aiohttp.ClientError:
        pass
    return "cut after its first token" if seen else "cut before its first token"


async def test_killing_one_of_three_servers_loses_nothing_that_had_not_begun_to_answer(
    start_gateway, session
):
    rig: GatewayRig = await start_gateway(small=3, time_scale=1.0)
    for server in rig.servers:
        server.faults.slow = 3.0
    begun = [asyncio.Event() for _ in range(12)]
    talking = [asyncio.create_task(streamed(session, rig.url, 400, event)) for event in begun]
    await asyncio.gather(*(event.wait() for event in begun))
    # the engines now answer so slowly that what comes next has no token when the server dies
    for server in rig.servers:
        server.faults.slow = 60.0
    await asyncio.sleep(0.1)
    quiet = [asyncio.create_task(unstreamed(session, rig.url, 3)) for _ in range(24)]
    queued = [asyncio.create_task(streamed(session, rig.url, 3, asyncio.Event())) for _ in range(24)]
    await rig.until(
        lambda: sum(len(one.engine.waiting) + len(one.engine.running) for one in rig.servers) >= 60
    )
    victim = max(rig.servers, key=lambda one: len(one.engine.waiting) + len(one.engine.running))
    await victim.kill()
    for server in rig.servers:
        server.faults.slow = 0.1
    results = {
        "unstreamed": Counter(await asyncio.gather(*quiet)),
        "before first token": Counter(await asyncio.gather(*queued)),
        "after first token": Counter(await asyncio.gather(*talking)),
    }
    assert results["unstreamed"] == {"answered": 24}, results
    assert results["before first token"] == {"answered": 24}, results
    assert set(results["after first token"]) <= {"answered", "cut after its first token"}, results
    assert results["after first token"]["cut after its first token"] >= 1, results


async def test_a_server_that_refuses_connections_costs_no_request(start_gateway, session):
    rig = await start_gateway(small=3)
    await rig.servers[0].kill()
    results = await asyncio.gather(*(unstreamed(session, rig.url, 3) for _ in range(30)))
    assert set(results) == {"answered"}


async def test_a_restarted_server_is_used_again(start_gateway, session):
    rig = await start_gateway(small=2)
    await rig.servers[0].kill()
    assert await unstreamed(session, rig.url, 2) == "answered"
    await rig.servers[0].start()
    async with asyncio.timeout(10):
        while not rig.servers[0].api.requests_seen:
            await asyncio.gather(*(unstreamed(session, rig.url, 2) for _ in range(6)))


async def test_a_burst_spreads_over_all_servers(start_gateway, session):
    rig = await start_gateway(small=3, time_scale=1.0)
    await asyncio.gather(*(unstreamed(session, rig.url, 20) for _ in range(60)))
    seen = [server.api.requests_seen for server in rig.servers]
    assert sum(seen) == 60
    assert min(seen) >= 14, seen


async def test_in_flight_counts_return_to_zero(start_gateway, session):
    rig = await start_gateway(small=3)
    await asyncio.gather(*(unstreamed(session, rig.url, 3) for _ in range(30)))
    await rig.until(lambda: len(rig.runtime.state.ledger) == 0)
    assert int(rig.runtime.state.table.inflight.sum()) == 0


async def test_a_client_that_leaves_is_settled(start_gateway, session):
    rig = await start_gateway(small=1, time_scale=1.0)
    rig.servers[0].faults.slow = 20.0
    task = asyncio.create_task(unstreamed(session, rig.url, 200))
    await rig.until(lambda: len(rig.runtime.state.ledger) == 1)
    task.cancel()
    await rig.until(lambda: len(rig.runtime.state.ledger) == 0)
    assert rig.runtime.telemetry.settled.value("client_gone") == 1


async def test_no_endpoint_left_is_a_typed_503(start_gateway, session):
    rig = await start_gateway(small=1)
    await rig.servers[0].kill()
    body = {"model": "small", "messages": PROMPT}
    async with session.post(f"{rig.url}/v1/chat/completions", json=body) as answer:
        assert answer.status == 503
        assert (await answer.json())["error"]["code"] == "upstream_unavailable"
