"""The folder changes while requests are under way."""

import asyncio

import aiohttp
from free_ports import free_ports
from gateway_rig import SMALL, GatewayRig, policy, pool

PROMPT = [{"role": "user", "content": "hello"}]


async def ask(session: aiohttp.ClientSession, rig: GatewayRig, model: str) -> tuple[int, str]:
    body = {"model": model, "messages": PROMPT, "max_tokens": 2}
    async with session.post(f"{rig.url}/v1/chat/completions", json=body) as answer:
        told = await answer.json()
        return answer.status, told.get("model", told.get("error", {}).get("code"))


async def test_a_new_policy_takes_effect_without_cutting_a_stream(start_gateway, session):
    rig = await start_gateway(small=1, strong=1, time_scale=1.0)
    rig.servers_of("llama-8b")[0].faults.slow = 5.0
    body = {"model": "small", "messages": PROMPT, "max_tokens": 60, "stream": True}
    async with session.post(f"{rig.url}/v1/chat/completions", json=body) as stream:
        await stream.content.readuntil(b"\n\n")
        assert (await ask(session, rig, "auto"))[0] == 404
        rig.write("auto.yaml", policy("auto", {"models": ["auto"]}, [{"model": "strong"}]))
        await rig.recompiled(2)
        assert await ask(session, rig, "auto") == (200, "llama-70b")
        # the stream's own endpoint leaves the pool: the stream goes on all the same
        [address] = [server.address for server in rig.servers_of("llama-8b")]
        rig.write("small.yaml", pool("small", free_ports(1), SMALL))
        server = rig.servers_of("llama-8b")[0]
        await rig.recompiled(3)
        assert rig.runtime.state.table.row_of(address) is None
        assert server not in rig.servers
        assert (await stream.content.read()).endswith(b"data: [DONE]\n\n")
    await rig.until(lambda: not server.alive)


async def test_a_pool_that_is_gone_finishes_its_streams_and_can_come_back_meanwhile(start_gateway, session):
    rig = await start_gateway(small=1, strong=1, time_scale=1.0)
    server = rig.servers_of("llama-8b")[0]
    server.faults.slow = 5.0
    manifest = (rig.folder / "small.yaml").read_text()
    body = {"model": "small", "messages": PROMPT, "max_tokens": 60, "stream": True}
    async with session.post(f"{rig.url}/v1/chat/completions", json=body) as stream:
        await stream.content.readuntil(b"\n\n")
        (rig.folder / "small.yaml").unlink()
        await rig.recompiled(2)
        assert await ask(session, rig, "small") == (404, "model_not_found")
        (rig.folder / "small.yaml").write_text(manifest)
        await rig.recompiled(3)
        assert (await stream.content.read()).endswith(b"data: [DONE]\n\n")
    await rig.until(lambda: not rig.runtime.state.table.pending)
    assert await ask(session, rig, "small") == (200, "llama-8b")
    assert rig.servers_of("llama-8b") == [server]


async def test_a_bad_file_is_reported_and_the_last_good_configuration_stays(start_gateway, session):
    auto = policy("auto", {"models": ["auto"]}, [{"model": "small"}])
    rig = await start_gateway(policies=[auto])
    assert await ask(session, rig, "auto") == (200, "llama-8b")
    (rig.folder / "policy-0.yaml").write_text("kind: RoutePolicy\n  broken: [")
    await rig.recompiled(2)
    assert [finding.code for finding in rig.compiled[-1].findings] == ["unreadable", "last-good"]
    assert await ask(session, rig, "auto") == (200, "llama-8b")
    auto["spec"]["rulez"] = auto["spec"].pop("rules")
    rig.write("policy-0.yaml", auto)
    await rig.recompiled(3)
    assert any("did you mean 'rules'?" in finding.fix for finding in rig.compiled[-1].findings)
    assert await ask(session, rig, "auto") == (200, "llama-8b")
    (rig.folder / "policy-0.yaml").unlink()
    await rig.recompiled(4)
    assert await ask(session, rig, "auto") == (404, "model_not_found")


async def test_a_new_endpoint_is_never_picked_before_envoy_knows_it(start_gateway, session):
    rig = await start_gateway(small=1)
    done = asyncio.Event()

    async def keep_asking() -> list[int]:
        statuses = []
        while not done.is_set():
            statuses.append((await ask(session, rig, "small"))[0])
        return statuses

    asking = [asyncio.create_task(keep_asking()) for _ in range(4)]
    ports = [server.port for server in rig.servers]
    for count in range(2, 6):
        ports += free_ports(1)
        rig.write("small.yaml", pool("small", ports, SMALL))
        await rig.recompiled(count)
        await asyncio.sleep(0.3)
    done.set()
    statuses = [status for each in await asyncio.gather(*asking) for status in each]
    assert set(statuses) == {200}
    assert len(statuses) > 50
    assert all(server.api.requests_seen for server in rig.servers)
