"""Fixtures of the tests that start a real Envoy."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest
from envoy_rig import Answer, Choice, ModelServer, Rig

from pilotage_api.settings import GatewaySettings

StartServer = Callable[..., Awaitable[ModelServer]]
StartRig = Callable[..., Awaitable[Rig]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.envoy)


@pytest.fixture
async def start_server() -> AsyncIterator[StartServer]:
    servers: list[ModelServer] = []

    async def start(answer: Answer, host: str = "127.0.0.1") -> ModelServer:
        server = ModelServer(answer)
        await server.start(host)
        servers.append(server)
        return server

    yield start
    for server in servers:
        await server.stop()


@pytest.fixture
async def start_rig() -> AsyncIterator[StartRig]:
    """Starts an Envoy that knows these addresses and asks `choose`; all is ended after the test."""
    rigs: list[Rig] = []

    async def start(
        choose: Callable[[Mapping[str, str], bytes], Choice],
        addresses: list[str],
        *,
        settings: GatewaySettings | None = None,
        fail_open: tuple[str, ...] = (),
        peers: Sequence[tuple[str, int]] = (),
        models_cluster: dict[str, Any] | None = None,
    ) -> Rig:
        rig = Rig(settings or GatewaySettings(), choose, models_cluster)
        rigs.append(rig)
        await rig.start(addresses, fail_open, peers)
        return rig

    yield start
    for rig in rigs:
        await rig.stop()
