"""Ports with an echo and health service, on either transport."""

import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from pilotage_api.settings import Transport
from pilotage_extproc.server.grpc_port import GrpcPort
from pilotage_extproc.transport.contract import CallRefused, Method, Service, Status, Stream, unary

SETUP = Path(__file__).parents[2] / "hack/transport/setup"
StartPort = Callable[..., Awaitable[int]]


class WideRoom:
    """Takes any message, as the room of large bodies does."""

    def reserve(self, length: int) -> None: ...

    def ask(self, length: int) -> None: ...

    def left(self, length: int) -> None: ...


async def echo(stream: Stream) -> None:
    while (one := await stream.read()) is not None:
        await stream.write(one)


async def refuse(stream: Stream) -> None:
    raise CallRefused(Status.INVALID_ARGUMENT, "50% of ü is wrong\n")


ECHO = Service(
    "test.Echo",
    {
        "Stream": Method(echo, WideRoom()),
        "Shout": unary(lambda request, metadata: request.upper() + metadata.get("x-more", "").encode()),
        "Refuse": Method(refuse),
    },
)


@pytest.fixture(params=list(Transport))
def transport(request: pytest.FixtureRequest) -> Transport:
    return request.param


@pytest.fixture
async def start_port() -> AsyncIterator[StartPort]:
    """Starts a port; ended after the test."""
    started: list[GrpcPort] = []

    async def start(*services: Service, transport: Transport = Transport.BUILTIN) -> int:
        port = GrpcPort(None, transport)
        port.add(*(services or (ECHO,)))
        port.set_serving(serving=True)
        started.append(port)
        return await port.start("127.0.0.1", 0)

    yield start
    for port in started:
        await port.stop(None)


def program(name: str) -> Path:
    """A program of hack/transport."""
    folder = subprocess.run([SETUP, "where"], check=True, capture_output=True, text=True).stdout.strip()
    return Path(folder, name)
