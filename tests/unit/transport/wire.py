"""A client of frames: drives a connection without sockets, by a clock of its own."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from hpack import Decoder, Encoder

from pilotage_extproc.transport import frames
from pilotage_extproc.transport.connection import Connection
from pilotage_extproc.transport.contract import Call, Receiver, Room
from pilotage_extproc.transport.coroutine import by_coroutine
from pilotage_extproc.transport.frames import FRAME_HEAD, UINT32, Code, frame
from pilotage_extproc.transport.limits import Limits, SharedRoom
from pilotage_extproc.transport.owner import Served

PATH = "/test.Service/Method"
HEAD = {
    ":method": "POST",
    ":scheme": "http",
    ":path": PATH,
    ":authority": "x",
    "content-type": "application/grpc",
    "te": "trailers",
}


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def number(self) -> int:
        """The code of a reset, the size of a window update."""
        return int(UINT32.unpack_from(self.payload)[0])


class FakeTransport:
    """What a connection writes; `stuck` is a peer that reads nothing."""

    def __init__(self, secured: object | None = None) -> None:
        self.written = bytearray()
        self.writes = 0
        self.closed = self.aborted = self.stuck = False
        self.reading = True
        self.connection: Connection | None = None
        self.high = 1 << 16
        self.secured = secured

    def write(self, data: bytes) -> None:
        self.written += data
        self.writes += 1
        if self.stuck and len(self.written) > self.high and self.connection is not None:
            self.connection.pause_writing()

    def set_write_buffer_limits(self, high: int) -> None:
        self.high = high

    def get_write_buffer_size(self) -> int:
        return len(self.written) if self.stuck else 0

    def get_extra_info(self, name: str) -> object | None:
        return self.secured if name == "ssl_object" else None

    def is_closing(self) -> bool:
        return self.closed or self.aborted

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True
        if self.connection is not None:
            self.connection.connection_lost(None)


def by_task(handler: Callable[..., Awaitable[None]]) -> Callable[[Call], Receiver]:
    return by_coroutine(handler)


DRIVERS = [by_task]
"""The last runs the handlers of a test."""


@dataclass
class Port:
    """The owner of connections in a test."""

    handler: Callable[..., Awaitable[None]]
    limits: Limits = field(default_factory=Limits)
    method_room: Room | None = None
    receive: Callable[[Call], Receiver] | None = None
    open_streams: int = 0
    ended: int = 0

    def __post_init__(self) -> None:
        self.room: Room = SharedRoom(self.limits.messages_bytes)

    @property
    def methods(self) -> Mapping[str, Served]:
        receiver = self.receive or DRIVERS[-1](self.handler)
        return {PATH: Served(self.method_room or self.room, receiver)}

    def admit_stream(self) -> bool:
        if self.open_streams >= self.limits.streams:
            return False
        self.open_streams += 1
        return True

    def stream_ended(self) -> None:
        self.open_streams -= 1

    def connection_ended(self, connection: Connection) -> None:
        self.ended += 1


class Client:
    """The other end of one connection."""

    def __init__(self, port: Port, clock: Clock | None = None, *, greet: bool = True) -> None:
        self.clock = clock or Clock()
        self.transport = FakeTransport()
        self.connection = Connection(port, asyncio.get_running_loop(), self.clock)
        self.transport.connection = self.connection
        self.connection.connection_made(self.transport)
        self.encoder, self._decoder = Encoder(), Decoder()
        self._taken = 0
        self._next = 1
        if greet:
            self.send(frames.PREFACE + frames.settings({}))

    def send(self, *data: bytes) -> None:
        """Bytes arrive at the server in one read."""
        self.connection.data_received(b"".join(data))

    def head(self, *, end: bool = False, more: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """A new stream, and the frame that opens it."""
        stream, self._next = self._next, self._next + 2
        block = self.encoder.encode({**HEAD, **(more or {})}.items())
        flags = frames.END_HEADERS | (frames.END_STREAM if end else 0)
        return stream, frame(frames.HEADERS, flags, stream, block)

    def open(self, *messages: bytes, end: bool = False, more: Mapping[str, str] | None = None) -> int:
        """A call with these messages, each in its own frame."""
        stream, head = self.head(more=more)
        self.send(head, *data_of(stream, *messages, end=end))
        return stream

    async def settled(self) -> None:
        """Until handlers that can go on have."""
        for _ in range(12):
            await asyncio.sleep(0)

    async def frames(self) -> list[Frame]:
        """All frames since the last time."""
        await self.settled()
        found, data = [], bytes(self.transport.written)
        while len(data) - self._taken >= 9:
            high, low, kind, flags, stream = FRAME_HEAD.unpack_from(data, self._taken)
            start = self._taken + 9
            self._taken = start + (high << 8 | low)
            found.append(Frame(kind, flags, stream, data[start : self._taken]))
        return found

    async def got(self, stream: int) -> tuple[list[bytes], dict[str, str] | None, list[Frame]]:
        """Messages and trailers of a stream, and all that is not of it."""
        body, trailers, others = b"", None, []
        for one in await self.frames():
            if one.kind == frames.HEADERS:
                fields = dict(self._decoder.decode(one.payload))
                if one.stream == stream and one.flags & frames.END_STREAM:
                    trailers = fields
            elif one.kind == frames.DATA and one.stream == stream:
                body += one.payload
            else:
                others.append(one)
        messages = []
        while body:
            size = UINT32.unpack_from(body, 1)[0]
            messages.append(body[5 : 5 + size])
            body = body[5 + size :]
        return messages, trailers, others

    async def goodbye(self) -> Code | None:
        """Why the server ended the connection, if it did."""
        for one in await self.frames():
            if one.kind == frames.GOAWAY and one.payload[4:8] != b"\0\0\0\0":
                assert self.transport.closed
                return Code(UINT32.unpack_from(one.payload, 4)[0])
        return None


def message(content: bytes, flag: int = 0) -> bytes:
    """gRPC's framing."""
    return bytes((flag,)) + UINT32.pack(len(content)) + content


def data(stream: int, payload: bytes, *, end: bool = False) -> bytes:
    """One DATA frame."""
    return frame(frames.DATA, frames.END_STREAM if end else 0, stream, payload)


def data_of(stream: int, *messages: bytes, end: bool = False) -> list[bytes]:
    """Messages in DATA frames, cut where they are too large."""
    made = []
    for one in messages:
        framed = message(one)
        made += [data(stream, framed[at : at + 16_384]) for at in range(0, len(framed), 16_384)]
    if end:
        made.append(data(stream, b"", end=True))
    return made


async def echo(stream) -> None:
    """Sends back what comes."""
    while (one := await stream.read()) is not None:
        await stream.write(one)
