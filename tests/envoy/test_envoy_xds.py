"""Endpoints over xDS: what a real Envoy does with them."""

import asyncio

import pytest
from envoy_rig import CHAT_BODY, Received, Rig, chunk, fixed, pick, stream_head

from pilotage_api.settings import GatewaySettings


async def until(condition) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


async def test_an_endpoint_may_be_picked_the_moment_it_is_acknowledged(start_rig, start_server):
    servers = [await start_server(fixed(200, b"{}")) for _ in range(12)]
    addresses = [server.address for server in servers]
    chosen = [addresses[0]]
    rig = await start_rig(lambda head, body: pick(chosen[0]), addresses[:1])
    await until(lambda: addresses[0] in rig.acknowledged)
    for number in range(1, len(addresses)):
        chosen[0] = addresses[number]
        rig.xds.publish(addresses[: number + 1])
        assert chosen[0] not in rig.acknowledged
        await until(lambda: chosen[0] in rig.acknowledged)
        assert (await rig.chat())[0] == 200
    assert set(rig.replies) == {"acked"}


async def test_an_endpoint_that_left_is_still_found_by_a_pick_just_made(start_rig, start_server):
    staying, leaving = await start_server(fixed(200, b"{}")), await start_server(fixed(200, b'"left"'))
    rig = await start_rig(lambda head, body: pick(leaving.address), [staying.address, leaving.address])
    await until(lambda: leaving.address in rig.acknowledged)
    rig.xds.publish([staying.address])
    assert (await rig.chat())[2] == b'"left"'
    await asyncio.sleep(1.3)  # Envoy's own time, past the linger
    assert (await rig.chat())[0] == 503


async def test_a_stream_outlives_the_removal_of_its_endpoint(start_rig, start_server):
    go_on = asyncio.Event()

    async def slow(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head() + chunk(b"data: 1\n\n"))
        await writer.drain()
        await go_on.wait()
        writer.write(chunk(b"data: 2\n\n") + chunk(b""))

    server, other = await start_server(slow), await start_server(fixed(200, b"{}"))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address, other.address])
    rig.xds._linger_seconds = 0.0
    async with rig.session.post(rig.url + "/v1/chat/completions", json=CHAT_BODY) as answer:
        assert await answer.content.readuntil(b"\n\n") == b"data: 1\n\n"
        acked = len(rig.replies)
        rig.xds.publish([other.address])
        await until(lambda: len(rig.replies) > acked)
        go_on.set()
        assert await answer.content.read() == b"data: 2\n\n"


async def test_envoy_does_not_listen_before_discovery_has_synced(start_rig, start_server):
    server = await start_server(fixed(200, b"{}"))
    rig = Rig(GatewaySettings(), lambda head, body: pick(server.address))
    publish, rig.xds.publish = rig.xds.publish, lambda *_: None  # type: ignore[method-assign]
    starting = asyncio.create_task(rig.start([server.address]))
    try:
        await until(lambda: rig.xds.connected == ["envoy-1"])
        await asyncio.sleep(0.3)
        assert not starting.done()
        publish([server.address])
        await starting
        assert (await rig.chat())[0] == 200
    finally:
        await rig.stop()


@pytest.mark.alone
async def test_thousands_of_endpoints_are_taken(start_rig, start_server):
    server = await start_server(fixed(200, b"{}"))
    many = [f"10.{number >> 8}.{number & 255}.1:8000" for number in range(5000)]
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    loop = asyncio.get_running_loop()
    began = loop.time()
    rig.xds.publish([server.address, *many])
    held = loop.time() - began
    await until(lambda: many[-1] in rig.acknowledged)
    print(f"publish {held * 1000:.0f} ms, acknowledged after {(loop.time() - began) * 1000:.0f} ms")
    assert held < 0.5  # on the loop that also answers requests; a fraction of this where little changes
    assert (await rig.chat())[0] == 200


async def test_a_picker_that_restarts_is_used_again_without_a_cut_stream(start_rig, start_server):
    go_on = asyncio.Event()

    async def slow(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head() + chunk(b"data: 1\n\n"))
        await writer.drain()
        await go_on.wait()
        writer.write(chunk(b"data: 2\n\n") + chunk(b""))

    server, added = await start_server(slow), await start_server(fixed(200, b'"added"'))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    async with rig.session.post(rig.url + "/v1/chat/completions", json=CHAT_BODY) as answer:
        assert await answer.content.readuntil(b"\n\n") == b"data: 1\n\n"
        await rig.extproc.stop(None)
        again = Rig(rig.settings, lambda head, body: pick(added.address))
        await again.serve([server.address, added.address], port=rig.extproc_port)
        try:
            await until(lambda: added.address in again.acknowledged)
            assert (await rig.chat())[2] == b'"added"'
            go_on.set()
            assert await answer.content.read() == b"data: 2\n\n"
        finally:
            await again.stop()
