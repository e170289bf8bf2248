"""Background responses: the picker hears of their server with the first event, not with the last."""

import asyncio
from pathlib import Path

import pytest
from envoy_rig import Received, chunk, fixed, pick, stream_head

from pilotage_extproc.envoy.announcements import Announcement
from pilotage_extproc.envoy.contract import ANNOUNCE_RESPONSE, FLAG, HOLDER

STREAM = (Path(__file__).parent.parent / "fixtures" / "vllm-0.32" / "responses.sse").read_bytes()
FIRST = STREAM[: STREAM.index(b"\n\n") + 2]
BACKGROUND = {ANNOUNCE_RESPONSE: FLAG}
ID = "resp_8b3668a4059fa6de"


async def until_announced(rig, count=1):
    async with asyncio.timeout(30):
        while len(rig.announced) < count:
            await asyncio.sleep(0.005)
    return rig.announced


def held_open(go_on: asyncio.Event):
    async def answer(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head() + chunk(FIRST))
        await writer.drain()
        await go_on.wait()
        writer.write(chunk(STREAM[len(FIRST) :]) + chunk(b""))

    return answer


async def test_a_background_response_is_announced_once_and_while_it_runs(start_rig, start_server):
    go_on = asyncio.Event()
    server = await start_server(held_open(go_on))
    rig = await start_rig(lambda head, body: pick(server.address, more=BACKGROUND), [server.address])
    async with rig.session.post(rig.url + "/v1/responses", json={}) as answer:
        assert await until_announced(rig) == [Announcement(ID, server.address)]
        assert rig.entries == []
        go_on.set()
        assert await answer.read() == STREAM
    [logged] = await rig.logged()
    assert (logged.outcome.response_id, logged.outcome.upstream_address) == (ID, server.address)
    assert len(rig.announced) == 1


async def test_whose_a_response_is_is_announced_as_the_pick_says(start_rig, start_server):
    server = await start_server(fixed(200, STREAM, "text/event-stream"))
    more = {**BACKGROUND, HOLDER: "4f"}
    rig = await start_rig(lambda head, body: pick(server.address, more=more), [server.address])
    await rig.chat()
    assert await until_announced(rig) == [Announcement(ID, server.address, "4f")]
    [logged] = await rig.logged()
    assert logged.outcome.holder == "4f"


async def test_the_server_that_answers_is_announced_and_not_the_first_of_the_pick(start_rig, start_server):
    gone, server = await start_server(fixed(503, b"{}")), await start_server(fixed(200, b""))
    server.answer = fixed(200, STREAM, "text/event-stream")
    addresses = [gone.address, server.address]
    rig = await start_rig(lambda head, body: pick(*addresses, more=BACKGROUND), addresses)
    await rig.chat()
    assert await until_announced(rig) == [Announcement(ID, server.address)]


async def test_a_server_of_ipv6_is_announced_as_endpoints_are_written(start_rig, start_server):
    server = await start_server(fixed(200, STREAM, "text/event-stream"), "::1")
    rig = await start_rig(lambda head, body: pick(server.address, more=BACKGROUND), [server.address])
    await rig.chat()
    assert await until_announced(rig) == [Announcement(ID, server.address)]


@pytest.mark.parametrize(
    "said",
    [b'data: {"response":{"id":"resp_a\\"b"}}\n\n', b'data: {"response":{"id":"other"}}\n\n', b"data: 1\n\n"],
)
async def test_what_is_no_id_of_a_response_is_not_announced(start_rig, start_server, said):
    server = await start_server(fixed(200, said, "text/event-stream"))
    rig = await start_rig(lambda head, body: pick(server.address, more=BACKGROUND), [server.address])
    assert (await rig.chat())[2] == said
    await rig.logged()
    server.answer = fixed(200, STREAM, "text/event-stream")
    await rig.chat()
    assert await until_announced(rig) == [Announcement(ID, server.address)]


async def test_other_streams_cost_no_announcement(start_rig, start_server):
    server = await start_server(fixed(200, STREAM, "text/event-stream"))
    flags = {}
    rig = await start_rig(lambda head, body: pick(server.address, more=flags), [server.address])
    await rig.chat()
    await rig.logged()
    flags.update(BACKGROUND)
    await rig.chat()
    assert len(await until_announced(rig)) == 1


async def test_a_picker_that_has_gone_costs_the_stream_nothing(start_rig, start_server):
    go_on = asyncio.Event()
    server = await start_server(held_open(go_on))
    rig = await start_rig(lambda head, body: pick(server.address, more=BACKGROUND), [server.address])

    async def slow(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head())
        await writer.drain()
        await rig.extproc.stop(None)
        writer.write(chunk(STREAM) + chunk(b""))

    server.answer = slow
    status, _, body = await rig.chat()
    assert (status, body) == (200, STREAM)
