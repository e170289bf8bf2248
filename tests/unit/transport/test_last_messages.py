"""A call's last message: its end leaves with it, whatever the handler waited for before."""

import asyncio

import pytest
from wire import Client, Port

from pilotage_extproc.transport import frames
from pilotage_extproc.transport.coroutine import by_coroutine
from pilotage_extproc.transport.stepped import by_steps

RECEIVERS = pytest.mark.parametrize("receiver", [by_steps, by_coroutine])


@RECEIVERS
@pytest.mark.parametrize("waits", [False, True], ids=["at once", "after a wait"])
async def test_the_end_leaves_in_one_write_with_the_last_message(receiver, waits):
    may_go = asyncio.Event()

    async def handler(stream) -> None:
        await stream.read()
        if waits:
            await may_go.wait()
        await stream.last(b"pick")
        await asyncio.sleep(0)

    client = Client(Port(handler, receive=receiver(handler)))
    stream = client.open(b"head")
    if waits:
        await client.settled()
    writes = client.transport.writes
    may_go.set()
    messages, trailers, _ = await client.got(stream)
    assert (messages, trailers) == ([b"pick"], {"grpc-status": "0"})
    assert client.transport.writes - writes <= 1


@RECEIVERS
async def test_a_last_message_that_waits_for_the_callers_window_keeps_its_handler(receiver):
    over = []

    async def handler(stream) -> None:
        await stream.read()
        await asyncio.sleep(0)
        await stream.last(b"x" * 100_000)
        over.append(True)

    client = Client(Port(handler, receive=receiver(handler)))
    stream = client.open(b"head")
    await client.settled()
    assert not over
    writes = client.transport.writes
    client.send(frames.window_update(0, 1_000_000), frames.window_update(stream, 1_000_000))
    messages, trailers, _ = await client.got(stream)
    assert ([len(one) for one in messages], trailers) == ([100_000], {"grpc-status": "0"})
    assert client.transport.writes == writes + 1
    await client.settled()
    assert over
    assert not client.connection.session.calls


@RECEIVERS
async def test_nothing_follows_a_last_message(receiver):
    async def handler(stream) -> None:
        await stream.read()
        await stream.last(b"pick")
        await stream.write(b"more")
        raise RuntimeError("too late to be told")

    client = Client(Port(handler, receive=receiver(handler)))
    stream = client.open(b"head")
    messages, trailers, _ = await client.got(stream)
    assert (messages, trailers) == ([b"pick"], {"grpc-status": "0"})


@RECEIVERS
async def test_a_caller_that_leaves_while_a_last_message_waits_ends_the_handler(receiver):
    ended = []

    async def handler(stream) -> None:
        try:
            await stream.read()
            await asyncio.sleep(0)
            await stream.last(b"x" * 100_000)
        finally:
            ended.append(True)

    client = Client(Port(handler, receive=receiver(handler)))
    client.open(b"head")
    await client.settled()
    client.connection.connection_lost(None)
    await client.settled()
    assert ended
