"""The life of calls and connections: cancelled, drained, refused, told apart."""

import asyncio

from wire import HEAD, Client, Port, data, echo, message

from pilotage_extproc.transport import frames
from pilotage_extproc.transport.contract import Status
from pilotage_extproc.transport.frames import UINT32, Code, frame


class Watched:
    """A handler that waits, and what became of it."""

    def __init__(self) -> None:
        self.read: list[bytes | None] = []
        self.cancelled = 0

    async def __call__(self, stream) -> None:
        try:
            while True:
                self.read.append(await stream.read())
                if self.read[-1] is None:
                    return
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


async def test_a_handler_is_cancelled_when_the_caller_resets_its_stream():
    watched = Watched()
    client = Client(Port(watched))
    first, second = client.open(b"a"), client.open(b"b")
    await client.settled()
    client.send(frames.reset(first, Code.CANCEL))
    await client.settled()
    assert (watched.read, watched.cancelled) == ([b"a", b"b"], 1)
    client.send(data(second, b"", end=True))
    await client.settled()
    assert (watched.read[-1], watched.cancelled) == (None, 1)


async def test_handlers_are_cancelled_when_the_connection_is_lost():
    watched = Watched()
    port = Port(watched)
    client = Client(port)
    client.open(b"a")
    client.open(b"b")
    await client.settled()
    client.connection.connection_lost(None)
    await client.settled()
    assert watched.cancelled == 2
    assert (port.open_streams, port.ended) == (0, 1)


async def test_a_handler_that_is_done_leaves_nothing_behind():
    async def handler(stream) -> None:
        await stream.read()
        await stream.write(b"early")

    port = Port(handler)
    client = Client(port)
    stream = client.open(b"a", b"unread")
    got, trailers, others = await client.got(stream)
    assert (got, trailers) == ([b"early"], {"grpc-status": "0"})
    assert [one.number for one in others if one.kind == frames.RST_STREAM] == [Code.NO_ERROR]
    assert (port.open_streams, port.room.taken_bytes) == (0, 0)
    client.send(data(stream, b"what was under way"), data(stream, b"", end=True))
    assert await client.goodbye() is None


async def test_a_deadline_ends_a_call_and_its_handler():
    watched = Watched()
    client = Client(Port(watched))
    stream = client.open(b"a", more={"grpc-timeout": "20m"})
    await asyncio.sleep(0.05)
    _, trailers, _ = await client.got(stream)
    assert trailers is not None
    assert trailers["grpc-status"] == str(int(Status.DEADLINE_EXCEEDED))
    assert watched.cancelled == 1


async def test_a_draining_connection_serves_what_is_under_way_and_refuses_what_comes_later():
    client = Client(Port(echo))
    stream, head = client.head()
    client.send(head, data(stream, message(b"before")))
    await client.frames()
    client.connection.drain()
    found = await client.frames()
    goaway = next(one for one in found if one.kind == frames.GOAWAY)
    ping = next(one for one in found if one.kind == frames.PING)
    assert UINT32.unpack_from(goaway.payload)[0] == frames.MOST_WINDOW
    raced = client.open(b"raced", end=True)
    _, trailers, _ = await client.got(raced)
    assert trailers == {"grpc-status": "0"}, "it was sent before the caller knew"
    client.send(frame(frames.PING, frames.ACK, 0, ping.payload))
    last = next(one for one in await client.frames() if one.kind == frames.GOAWAY)
    assert UINT32.unpack_from(last.payload)[0] == raced
    late = client.open(b"late")
    resets = [one for one in await client.frames() if one.kind == frames.RST_STREAM]
    assert [(one.stream, one.number) for one in resets] == [(late, Code.REFUSED_STREAM)]
    client.send(data(stream, message(b"after"), end=True))
    got, trailers, _ = await client.got(stream)
    assert (got, trailers) == ([b"after"], {"grpc-status": "0"})


async def test_calls_that_outlast_the_grace_are_told_and_cancelled():
    watched = Watched()
    client = Client(Port(watched))
    stream = client.open(b"a")
    await client.settled()
    client.connection.end_calls()
    _, trailers, _ = await client.got(stream)
    assert trailers is not None
    assert trailers["grpc-status"] == str(int(Status.UNAVAILABLE))
    assert watched.cancelled == 1
    assert client.transport.closed


async def test_a_call_can_be_driven_by_messages_without_a_task():
    class Receiver:
        def __init__(self, call) -> None:
            self.call = call

        def on_message(self, message: bytes, reserved: int) -> None:
            self.call.send(message.upper())
            self.call.took(len(message), reserved)

        def on_end(self) -> None:
            self.call.finish()

        def on_refused(self, error: Exception) -> None:
            self.call.finish(Status.INTERNAL)

        def on_gone(self) -> None: ...

        def on_writable(self) -> None: ...

    client = Client(Port(echo, receive=Receiver))
    await client.frames()
    tasks, writes = len(asyncio.all_tasks()), client.transport.writes
    stream = client.open(b"a", b"b", end=True)
    assert len(asyncio.all_tasks()) == tasks
    assert client.transport.writes == writes + 1, "answered within the read"
    got, trailers, _ = await client.got(stream)
    assert (got, trailers) == ([b"A", b"B"], {"grpc-status": "0"})


async def test_trailers_of_a_caller_end_its_messages():
    client = Client(Port(echo))
    stream, head = client.head()
    client.send(head, data(stream, message(b"a")))
    client.send(frame(frames.HEADERS, 5, stream, client.encoder.encode([("x-more", "1")])))
    got, trailers, _ = await client.got(stream)
    assert (got, trailers) == ([b"a"], {"grpc-status": "0"})


async def test_metadata_reaches_the_handler():
    seen = []

    async def handler(stream) -> None:
        seen.append(stream.invocation_metadata())

    client = Client(Port(handler))
    client.open(b"a", more={"x-one": "1"})
    await client.settled()
    assert {key: value for key, value in seen[0].items() if not key.startswith(":")} == {
        "content-type": "application/grpc",
        "te": "trailers",
        "x-one": "1",
    }
    assert not [key for key in seen[0] if key in HEAD and key.startswith(":")]


async def test_tls_without_the_protocol_of_http_2_is_turned_away():
    from wire import FakeTransport

    from pilotage_extproc.transport.connection import Connection

    class Secured:
        def selected_alpn_protocol(self):
            return None

    port, transport = Port(echo), FakeTransport(Secured())
    transport.connection = Connection(port, asyncio.get_running_loop())
    transport.connection.connection_made(transport)
    assert transport.aborted
    assert not transport.written
