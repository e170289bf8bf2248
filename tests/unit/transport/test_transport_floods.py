"""Ways to wear a server out, each known from other servers' advisories, and each without effect here."""

import asyncio

import pytest
from wire import HEAD, Client, Port, data, echo, message

from pilotage_extproc.transport import frames
from pilotage_extproc.transport.frames import UINT32, Code, frame
from pilotage_extproc.transport.limits import Limits

CALM = Code.ENHANCE_YOUR_CALM


async def waiting(stream) -> None:
    await asyncio.Event().wait()


async def test_streams_reset_as_soon_as_they_are_opened_end_the_connection():
    started, ended = [], []

    async def handler(stream) -> None:
        started.append(1)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    port = Port(handler, Limits(early_resets=100))
    client = Client(port)
    for _ in range(150):
        stream, head = client.head()
        client.send(head, *[data(stream, message(b"x"))], frames.reset(stream, Code.CANCEL))
        await client.settled()
    assert await client.goodbye() is CALM
    assert port.open_streams == 0
    assert len(started) == len(ended), "no handler runs on for a caller that has left"


async def test_a_caller_that_gives_up_some_calls_among_many_is_no_flood():
    client = Client(Port(echo, Limits(early_resets=50)))
    for number in range(400):
        stream, head = client.head()
        if number % 3:
            client.send(head, data(stream, message(b"x"), end=True))
        else:
            client.send(head, frames.reset(stream, Code.CANCEL))
        await client.settled()
    assert await client.goodbye() is None


async def test_streams_made_to_be_reset_by_the_server_count_alike():
    client = Client(Port(waiting, Limits(early_resets=100)))
    for _ in range(150):
        stream, head = client.head()
        client.send(head, frames.window_update(stream, 0))
        await client.settled()
    assert await client.goodbye() is CALM


@pytest.mark.parametrize("piece", [b"", b"\x82"])
async def test_a_header_block_that_never_ends_is_cut_off(piece):
    client = Client(Port(echo))
    client.send(frame(frames.HEADERS, 0, 1, b"\x82"), *[frame(frames.CONTINUATION, 0, 1, piece)] * 100)
    assert await client.goodbye() is CALM


async def test_a_header_block_of_large_frames_is_cut_off_before_it_is_decoded():
    client = Client(Port(echo))
    client.send(frame(frames.HEADERS, 0, 1, b"\x82" * 16_384), frame(frames.CONTINUATION, 4, 1, b"\x82"))
    assert await client.goodbye() is CALM


async def test_a_small_block_that_stands_for_much_is_refused():
    client = Client(Port(echo))
    large = client.encoder.encode([("x-large", "v" * 3_000)])
    client.send(frame(frames.HEADERS, 4, 1, large + b"\xbe" * 12_000))
    assert await client.goodbye() is Code.COMPRESSION_ERROR


FLOODS = {
    "SETTINGS": frames.settings({}),
    "SETTINGS with entries": frames.settings(dict.fromkeys(range(100, 1000), 1)),
    "SETTINGS acknowledgements": frame(frames.SETTINGS, frames.ACK, 0),
    "PING": frame(frames.PING, 0, 0, b"12345678"),
    "PING acknowledgements": frame(frames.PING, frames.ACK, 0, b"12345678"),
    "PRIORITY": frame(frames.PRIORITY, 0, 1, b"\0\0\0\0\0"),
    "WINDOW_UPDATE": frames.window_update(0, 1),
    "unknown frames": frame(0x42, 0, 0, b""),
    "empty DATA": frame(frames.DATA, 0, 1),
    "padding alone": frame(frames.DATA, frames.PADDED, 1, b"\0"),
    "GOAWAY": frames.goaway(0, Code.NO_ERROR),
}


@pytest.mark.parametrize("name", FLOODS)
async def test_frames_that_bring_nothing_end_the_connection(name):
    client = Client(Port(waiting, Limits(idle_frames=1_000)))
    client.open(b"x")
    await client.frames()
    for _ in range(1_100):
        client.send(FLOODS[name])
    assert await client.goodbye() is CALM


@pytest.mark.parametrize("name", [name for name in FLOODS if name != "SETTINGS with entries"])
async def test_the_same_frames_now_and_then_do_no_harm(name):
    client = Client(Port(waiting, Limits(idle_frames=100, idle_frames_a_second=10.0)))
    client.open(b"x")
    for _ in range(1_000):
        client.send(FLOODS[name])
        client.clock.now += 0.2
    assert await client.goodbye() is None


async def test_initial_windows_changed_again_and_again_cost_by_the_streams_they_touch():
    client = Client(Port(waiting, Limits(idle_frames=1_000)))
    for _ in range(200):
        client.open(b"x")
    for number in range(100):
        client.send(frames.settings({frames.INITIAL_WINDOW_SIZE: 65_535 + number}))
    assert await client.goodbye() is CALM


async def test_heads_on_streams_that_are_over_are_a_fault():
    client = Client(Port(echo))
    client.open(b"x", end=True)
    await client.settled()
    client.send(frame(frames.HEADERS, 5, 1, client.encoder.encode(HEAD.items())))
    assert await client.goodbye() is Code.STREAM_CLOSED


async def test_data_on_streams_that_are_over_is_dropped_and_counted():
    client = Client(Port(echo, Limits(early_resets=20, idle_frames=50)))
    client.open(b"x", end=True)
    await client.frames()
    client.send(*[data(1, b"x")] * 100)
    assert await client.goodbye() is CALM


async def test_a_peer_that_reads_nothing_is_let_go_of():
    client = Client(Port(echo, Limits(write_buffer_bytes=1_000, write_buffer_most_bytes=10_000)))
    client.transport.stuck = True
    for _ in range(2_000):
        client.send(frame(frames.PING, 0, 0, b"12345678"))
    await client.settled()
    assert client.transport.aborted
    assert len(client.transport.written) < 20_000


async def test_a_peer_that_reads_nothing_for_long_is_let_go_of_however_little_waits():
    cancelled = []

    async def handler(stream) -> None:
        try:
            while True:
                await stream.write(b"x" * 500)
        except asyncio.CancelledError:
            cancelled.append(1)
            raise

    client = Client(Port(handler, Limits(write_buffer_bytes=1_000)))
    client.transport.stuck = True
    client.open(b"x")
    await client.settled()
    client.connection.watch()
    assert not client.transport.aborted
    client.clock.now += 31
    client.connection.watch()
    await client.settled()
    assert client.transport.aborted
    assert cancelled == [1]


async def test_a_stream_whose_window_stays_closed_is_ended_and_the_others_live():
    client = Client(Port(echo, Limits(silence_seconds=1e9)))
    client.send(frames.settings({frames.INITIAL_WINDOW_SIZE: 10}))
    stuck = client.open(b"x" * 1000)
    await client.frames()
    client.clock.now += 31
    client.connection.watch()
    resets = [one for one in await client.frames() if one.kind == frames.RST_STREAM]
    assert [(one.stream, one.number) for one in resets] == [(stuck, Code.CANCEL)]
    _, trailers, _ = await client.got(client.open(b"ok", end=True))
    assert trailers == {"grpc-status": "0"}


@pytest.mark.parametrize("sent", [b"", message(b"x" * 100)[:50]])
async def test_a_call_whose_message_does_not_come_is_ended(sent):
    port = Port(echo)
    client = Client(port)
    stream, head = client.head()
    client.send(head)
    if sent:
        client.send(data(stream, sent))
    client.clock.now += 29
    client.connection.watch()
    assert port.open_streams == 1
    client.clock.now += 2
    client.connection.watch()
    _, trailers, _ = await client.got(stream)
    assert trailers is not None
    assert trailers["grpc-status"] == "4"
    assert port.open_streams == 0
    assert port.room.taken_bytes == 0


@pytest.mark.parametrize("reads", [1, 2])
async def test_a_call_that_is_not_grpc_and_does_not_end_is_ended(reads):
    port = Port(echo)
    client = Client(port)
    stream, head = client.head(more={"content-type": "text/plain"})
    begun = [head, data(stream, b"x")]
    for sent in [begun] if reads == 1 else [[one] for one in begun]:
        client.send(*sent)
    assert port.open_streams == 1
    client.clock.now += 31
    client.connection.watch()
    await client.settled()
    assert port.open_streams == 0


async def test_a_call_that_has_had_its_message_may_wait_for_ever():
    port = Port(waiting)
    client = Client(port)
    client.open(b"x")
    for _ in range(100):
        client.clock.now += 30
        client.send(frame(frames.PING, 0, 0, b"12345678"))
        client.connection.watch()
    assert port.open_streams == 1


async def test_a_connection_that_says_nothing_is_closed():
    client = Client(Port(echo), greet=False)
    client.clock.now += 9
    client.connection.watch()
    assert not client.transport.closed
    client.clock.now += 2
    client.connection.watch()
    assert await client.goodbye() is Code.SETTINGS_TIMEOUT


async def test_a_connection_whose_peer_is_gone_is_noticed():
    client = Client(Port(echo))
    client.clock.now += 61
    client.connection.watch()
    assert [one.kind for one in await client.frames()][-1] == frames.PING
    client.clock.now += 21
    client.connection.watch()
    assert client.transport.aborted


async def test_an_idle_connection_that_answers_is_kept():
    client = Client(Port(echo))
    for _ in range(10):
        client.clock.now += 61
        client.connection.watch()
        client.send(frame(frames.PING, frames.ACK, 0, b"pi-alive"))
        client.clock.now += 5
        client.connection.watch()
    assert not client.transport.is_closing()


async def test_streams_past_the_limit_are_refused_and_may_be_tried_elsewhere():
    port = Port(waiting, Limits(streams_a_connection=5))
    client = Client(port)
    for _ in range(7):
        client.open(b"x")
    resets = [(one.stream, one.number) for one in await client.frames() if one.kind == frames.RST_STREAM]
    assert resets == [(11, Code.REFUSED_STREAM), (13, Code.REFUSED_STREAM)]
    assert port.open_streams == 5


async def test_streams_of_all_connections_are_bounded_together():
    port = Port(waiting, Limits(streams=5))
    clients = [Client(port) for _ in range(3)]
    for client in clients:
        client.open(b"x")
        client.open(b"x")
    assert port.open_streams == 5
    clients[0].connection.connection_lost(None)
    assert port.open_streams == 3


async def test_http_1_is_turned_away():
    client = Client(Port(echo), greet=False)
    client.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    assert client.transport.closed


async def test_input_that_outruns_its_handlers_is_not_read_further():
    client = Client(Port(waiting, Limits(input_bytes=50_000)))
    parts = []
    for _ in range(100):
        stream, head = client.head()
        parts += [head, data(stream, message(b"x" * 1000))]
    client.send(*parts)
    client.send(*[frame(frames.PING, 0, 0, b"12345678")] * 10)
    assert not client.transport.reading
    for _ in range(20):
        await client.settled()
    assert client.transport.reading
    assert len(client.connection.session.calls) == 100


async def test_resets_name_their_code():
    assert UINT32.unpack(frames.reset(1, CALM)[9:])[0] == CALM
