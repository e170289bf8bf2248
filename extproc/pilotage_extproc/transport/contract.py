"""What services and transports know of each other: streams of whole messages, both ways.

A service is written once and runs on either transport. A method is a coroutine over a `Stream`; the built-in
transport can also drive it by messages, without a task a stream, where it gives a `receiver`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol


class Status(IntEnum):
    """gRPC's status codes, those that are used here."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


class CallRefused(Exception):
    """A call that ends with this status; `details` is told to the caller."""

    def __init__(self, status: Status, details: str) -> None:
        super().__init__(details)
        self.status = status
        self.details = details


class Stream(Protocol):
    """One call as its handler sees it; messages are bytes.

    The handler's task is cancelled when the caller resets the stream or its connection is lost.
    """

    def read(self) -> Awaitable[bytes | None]:
        """The next message, or None once the caller has sent its last.

        Raises what the method's room raised where a message could not be let in.
        """

    def write(self, message: bytes) -> Awaitable[None]:
        """Send one message; waits while the caller does not take them."""

    def last(self, message: bytes) -> Awaitable[None]:
        """Send the last message; waits as `write` does."""

    @property
    def ends_at_once(self) -> bool:
        """Whether the call's end leaves with its `last` message, in one write: whoever acts on the message
        knows by then that nothing follows."""

    def invocation_metadata(self) -> Mapping[str, str]:
        """The call's initial metadata."""

    def peer_names(self) -> frozenset[str]:
        """DNS names in the caller's certificate, which the port's authority issued; empty without one."""


Handler = Callable[[Stream], Awaitable[None]]
"""Serves a call; returning ends it with OK. Raises CallRefused to end it otherwise."""


class Room(Protocol):
    """Bounds the bytes of messages that have not been handed over yet; it is asked before they come."""

    def reserve(self, length: int) -> None:
        """Take room at once. Raises where there is none; the error is what `read` raises."""

    def ask(self, length: int) -> "asyncio.Future[None] | None":
        """None where room was taken at once, else a turn: done once taken, or failed. Raises as `reserve`."""

    def left(self, length: int) -> None:
        """Give room back."""


class Call(Protocol):
    """One call as a receiver answers it, on the built-in transport."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """The call's initial metadata."""

    @property
    def peer_names(self) -> frozenset[str]:
        """DNS names in the caller's verified certificate."""

    def send(self, message: bytes) -> bool:
        """Queue one message; False asks to wait for `on_writable` before the next."""

    def finish(self, status: Status = Status.OK, details: str = "") -> None:
        """End the call, after what is queued; nothing is received any more."""

    def hold(self, length: int) -> int:
        """Keep a message for later: the room it takes from now on. Raises as the method's room does."""

    def took(self, length: int, reserved: int) -> None:
        """A message was used: the caller may send more, and its room is free again."""


class Receiver(Protocol):
    """What the built-in transport tells of a call. Nothing here may wait."""

    def on_message(self, message: bytes, reserved: int) -> None:
        """A message, with the room it holds; tell `Call.took` once it is used."""

    def on_end(self) -> None:
        """The caller has sent its last message."""

    def on_refused(self, error: Exception) -> None:
        """A message could not be let in; none will come after it."""

    def on_gone(self) -> None:
        """The call is no more: what is sent goes nowhere."""

    def on_writable(self) -> None:
        """All that was queued has left."""


@dataclass(frozen=True, slots=True)
class Method:
    """One method of a service. Whether it streams is between handler and caller: the wire is the same."""

    handler: Handler
    room: Room | None = None
    """Bounds its messages; without one they are bounded at gRPC's usual 4 MiB, together by the port."""
    receiver: Callable[[Call], Receiver] | None = None
    """The same, driven by messages."""


@dataclass(frozen=True, slots=True)
class Service:
    """A gRPC service by its full name."""

    name: str
    methods: Mapping[str, Method]


class Port(Protocol):
    """A gRPC server on one address."""

    def add(self, *services: Service) -> None:
        """Serve these; before `start`."""

    async def start(self, host: str, port: int) -> int:
        """Listen; the real port. Raises RuntimeError where the address cannot be used."""

    async def stop(self, grace_seconds: float | None) -> None:
        """Stop listening; calls that are open after the grace are ended."""


def unary(answer: Callable[[bytes, Mapping[str, str]], bytes]) -> Method:
    """A method of one message each way. `answer` gets the message and the metadata."""

    async def handler(stream: Stream) -> None:
        request = await stream.read()
        if request is None:
            raise CallRefused(Status.INTERNAL, "the call brought no message")
        await stream.write(answer(request, stream.invocation_metadata()))

    return Method(handler)
