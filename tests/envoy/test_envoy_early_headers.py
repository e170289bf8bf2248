"""Streams whose headers came before their first token: held back, so that another server can be tried."""

import asyncio
import json
import random

import aiohttp
import pytest
from envoy_rig import CHAT_BODY, Received, chunk, fixed, pick, stream_head

from pilotage_api.settings import GatewaySettings, UpstreamSettings

STREAM = {**CHAT_BODY, "stream": True}


async def dies_while_queued(_request: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(stream_head())
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.transport.abort()


async def test_a_stream_whose_server_dies_before_its_first_token_is_answered_by_the_next(
    start_rig, start_server
):
    dying = await start_server(dies_while_queued)
    next_one = await start_server(fixed(200, b"data: [DONE]\n\n", "text/event-stream"))
    addresses = [dying.address, next_one.address]
    rig = await start_rig(lambda head, body: pick(*addresses), addresses)
    status, _, body = await rig.chat(STREAM)
    assert (status, body) == (200, b"data: [DONE]\n\n")
    assert len(dying.received) == 1
    [logged] = await rig.logged()
    assert (logged.outcome.upstream_address, logged.outcome.attempts) == (next_one.address, 2)


async def test_chunks_of_a_stream_pass_one_by_one(start_rig, start_server):
    told = asyncio.Event()

    async def streams(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head())
        await writer.drain()
        for number in range(3):
            writer.write(chunk(f"data: {number}\n\n".encode()))
            await writer.drain()
            await told.wait()
            told.clear()
        writer.write(chunk(b""))

    server = await start_server(streams)
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    async with rig.session.post(rig.url + "/v1/chat/completions", json=STREAM) as answer:
        for number in range(3):
            # the next is not sent before this one has arrived: nothing waits for more
            assert await answer.content.readuntil(b"\n\n") == f"data: {number}\n\n".encode()
            told.set()


async def test_an_unstreamed_answer_whose_server_dies_after_its_headers_is_tried_again(
    start_rig, start_server
):
    async def dies(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 20\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()

    dying, next_one = await start_server(dies), await start_server(fixed(200, b'"ok"'))
    addresses = [dying.address, next_one.address]
    rig = await start_rig(lambda head, body: pick(*addresses), addresses)
    assert (await rig.chat())[:3:2] == (200, b'"ok"')


async def test_a_stream_that_dies_after_its_first_token_is_cut_and_not_tried_again(start_rig, start_server):
    async def dies(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head() + chunk(b"data: 1\n\n"))
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()

    dying, next_one = await start_server(dies), await start_server(fixed(200, b"data: 2\n\n"))
    addresses = [dying.address, next_one.address]
    rig = await start_rig(lambda head, body: pick(*addresses), addresses)
    async with rig.session.post(rig.url + "/v1/chat/completions", json=STREAM) as answer:
        assert answer.status == 200
        assert await answer.content.readuntil(b"\n\n") == b"data: 1\n\n"
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.content.read()
    assert next_one.received == []
    [logged] = await rig.logged()
    assert logged.outcome.attempts == 1
    assert logged.outcome.response_flags == ("upstream_protocol_error",)  # Envoy's name for a cut body


async def test_when_every_server_dies_while_queued_the_client_gets_an_error_and_not_a_cut_200(
    start_rig, start_server
):
    servers = [await start_server(dies_while_queued) for _ in range(2)]
    addresses = [server.address for server in servers]
    rig = await start_rig(lambda head, body: pick(*addresses), addresses)
    status, _, body = await rig.chat(STREAM)
    assert status == 502
    assert json.loads(body)["error"]["code"] == "bad_gateway"


@pytest.mark.parametrize("pause", [0, 0.05])
async def test_an_error_whose_body_comes_late_is_tried_again_or_passed_on_whole(
    start_rig, start_server, pause
):
    async def fails(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 X\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(pause)
        writer.write(b'{"e":"no"}')

    failing, next_one = await start_server(fails), await start_server(fixed(200, b'"ok"'))
    addresses = [failing.address, next_one.address]
    chosen = [addresses]
    rig = await start_rig(lambda head, body: pick(*chosen[0]), addresses)
    for _ in range(5):
        assert (await rig.chat())[:3:2] == (200, b'"ok"')
    chosen[0] = addresses[:1]
    assert (await rig.chat())[:3:2] == (503, b'{"e":"no"}')


async def test_answers_without_a_body_are_not_held(start_rig, start_server):
    async def empty(request: Received, writer: asyncio.StreamWriter) -> None:
        if request.method == "HEAD":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
        elif request.method == "DELETE":
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        else:
            writer.write(stream_head() + chunk(b""))

    server = await start_server(empty)
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    for method, status in (("HEAD", 200), ("DELETE", 204), ("GET", 200)):
        async with asyncio.timeout(2), rig.session.request(method, rig.url + "/v1/x") as answer:
            assert (answer.status, await answer.read()) == (status, b"")


async def test_a_client_that_leaves_a_held_stream_ends_it_at_the_server(start_rig, start_server):
    began, ended = asyncio.Event(), asyncio.Event()

    async def queued(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head())
        await writer.drain()
        began.set()
        while not writer.transport.is_closing():
            await asyncio.sleep(0.01)
            writer.write(b"" if not ended.is_set() else chunk(b"x"))
        ended.set()

    server = await start_server(queued)
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    asking = asyncio.create_task(rig.chat(STREAM))
    await began.wait()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    [logged] = await rig.logged()
    assert logged.outcome.response_flags == ("downstream_connection_termination",)
    ended.set()
    server.answer = fixed(200, b'"ok"')
    assert (await rig.chat())[0] == 200


async def test_the_wait_of_a_held_stream_is_bounded_by_the_idle_timeout(start_rig, start_server):
    async def queued(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head())
        await writer.drain()
        await asyncio.sleep(5)

    server = await start_server(queued)
    settings = GatewaySettings(upstream=UpstreamSettings(stream_idle_timeout_seconds=0.3))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address], settings=settings)
    status, _, body = await rig.chat(STREAM)
    assert status == 504
    assert json.loads(body)["error"]["code"] == "timeout"


async def test_large_answers_pass_whole(start_rig, start_server):
    said = random.Random(1).randbytes(40 << 20)
    server = await start_server(fixed(200, said, "application/octet-stream"))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    assert (await rig.chat())[2] == said
