"""Streams whose headers came before their first token: held back, so that another server can be tried."""

import asyncio

from envoy_rig import CHAT_BODY, Received, chunk, fixed, pick, stream_head

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
    print(logged)
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
