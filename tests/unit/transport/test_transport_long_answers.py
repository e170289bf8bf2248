"""Answers longer than a connection takes at once: they wait, and cost nobody else's call anything."""

import asyncio

import pytest
from hpack import Encoder
from wire import HEAD, Client, Port, message

from pilotage_extproc.transport import frames
from pilotage_extproc.transport.contract import Method, Service
from pilotage_extproc.transport.limits import Limits
from pilotage_extproc.transport.server import BuiltinPort
from pilotage_extproc.transport.stepped import by_steps

MIB = 1 << 20
PIECE = 62_000
WIDE = {frames.INITIAL_WINDOW_SIZE: 256 * MIB}


async def long_answer(stream) -> None:
    """As many bytes as it is asked for, in pieces of a body that is sent back."""
    for _ in range(int(await stream.read()) // PIECE):
        await stream.write(b"x" * PIECE)


def wide_client(**limits) -> Client:
    """A client whose windows are never in the way."""
    client = Client(Port(long_answer, Limits(**limits)))
    client.send(frames.settings(WIDE), frames.window_update(0, 1 << 30))
    return client


def unsent(client: Client) -> int:
    return client.transport.get_write_buffer_size()


async def test_no_more_of_an_answer_is_made_than_a_connection_buffers():
    client = wide_client()
    client.transport.stuck = True
    client.open(b"%d" % (30 * MIB), end=True)
    await client.settled()
    assert MIB < unsent(client) < 2 * MIB
    client.send(frames.frame(frames.PING, 0, 0, b"12345678"))
    await client.settled()
    assert not client.transport.aborted
    assert unsent(client) < 2 * MIB


async def test_an_answer_goes_on_once_the_peer_reads_again():
    client = wide_client()
    client.transport.stuck = True
    stream = client.open(b"%d" % (5 * MIB), end=True)
    await client.settled()
    client.transport.stuck = False
    client.connection.resume_writing()
    await client.settled()
    got, trailers, _ = await client.got(stream)
    assert sum(len(one) for one in got) == 5 * MIB // PIECE * PIECE
    assert trailers == {"grpc-status": "0"}


async def test_answers_of_one_connection_get_on_in_turn():
    client = wide_client(write_buffer_bytes=100_000)
    long, short = client.open(b"%d" % (3 * MIB), end=True), client.open(b"%d" % (3 * PIECE), end=True)
    ends = []
    while len(ends) < 2:
        ends += [one.stream for one in await client.frames() if one.flags & 1 and one.kind == frames.HEADERS]
    assert ends == [short, long]


@pytest.mark.parametrize("granted", ["a stream's", "a connection's"])
async def test_a_window_that_opens_by_a_byte_now_and_then_does_not_keep_a_call_open(granted):
    client = Client(Port(long_answer))
    client.send(frames.window_update(0, 1 << 20 if granted == "a stream's" else 1))
    if granted != "a stream's":
        client.send(frames.settings(WIDE))
    stream = client.open(b"%d" % MIB, end=True)
    await client.frames()
    resets = []
    for _ in range(5):
        client.clock.now += 10
        client.send(frames.window_update(stream if granted == "a stream's" else 0, 1))
        client.connection.watch()
        resets += [one.stream for one in await client.frames() if one.kind == frames.RST_STREAM]
    assert resets == [stream]


async def test_a_slow_reader_that_takes_a_frame_now_and_then_keeps_its_call():
    client = Client(Port(long_answer))
    client.send(frames.window_update(0, 1 << 20))
    stream = client.open(b"%d" % (5 * PIECE), end=True)
    sent, resets = 0, []
    for _ in range(40):
        found = await client.frames()
        sent += sum(len(one.payload) for one in found if one.kind == frames.DATA)
        resets += [one for one in found if one.kind == frames.RST_STREAM]
        client.clock.now += 25
        client.send(frames.window_update(stream, frames.FRAME_BYTES))
        client.connection.watch()
    assert resets == []
    assert sent == 5 * len(message(b"x" * PIECE))


async def test_calls_that_wait_for_a_shared_window_are_not_late_while_others_get_on():
    client = Client(Port(long_answer))
    client.send(frames.settings(WIDE))
    streams = [client.open(b"%d" % (20 * PIECE), end=True) for _ in range(4)]
    resets = []
    for _ in range(6):
        found = await client.frames()
        resets += [one.stream for one in found if one.kind == frames.RST_STREAM]
        client.clock.now += 20
        client.send(frames.window_update(0, frames.FRAME_BYTES))
        client.connection.watch()
    assert (resets, len(streams)) == ([], 4)
    client.clock.now += 31
    client.connection.watch()
    found = await client.frames()
    assert sorted(one.stream for one in found if one.kind == frames.RST_STREAM) == streams


@pytest.mark.parametrize("stepped", [False, True])
async def test_a_long_answer_arrives_whole_over_a_socket(stepped):
    port = BuiltinPort(None)
    receiver = by_steps(long_answer) if stepped else None
    port.add(Service("test.Service", {"Method": Method(long_answer, receiver=receiver)}))
    reader, writer = await asyncio.open_connection("127.0.0.1", await port.start("127.0.0.1", 0))
    try:
        head = frames.frame(frames.HEADERS, frames.END_HEADERS, 1, Encoder().encode(HEAD.items()))
        writer.write(frames.PREFACE + frames.settings(WIDE) + frames.window_update(0, 1 << 30) + head)
        writer.write(frames.frame(frames.DATA, frames.END_STREAM, 1, message(b"%d" % (30 * MIB))))
        got = 0
        while got < 30 * MIB // PIECE * PIECE:
            some = await asyncio.wait_for(reader.read(1 << 18), 10)
            assert some, f"the connection ended after {got} bytes"
            got += len(some)
    finally:
        writer.close()
        await port.stop(0)
