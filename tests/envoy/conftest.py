"""Fixtures of the tests that start a real Envoy."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from envoy_rig import Answer, Choice, ModelServer, Rig, pick
from provider_rig import PROVIDER, external, provided, until
from provider_stub import HOST, ProviderStub

from pilotage_api.external_snapshot import ExternalSnapshot
from pilotage_api.settings import GatewaySettings

StartServer = Callable[..., Awaitable[ModelServer]]
StartRig = Callable[..., Awaitable[Rig]]
StartStub = Callable[..., Awaitable[ProviderStub]]


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


@pytest.fixture
async def start_stub(tmp_path: Path) -> AsyncIterator[StartStub]:
    """Starts a provider over TLS, known as `HOST` and `localhost`; all end after the test."""
    stubs: list[ProviderStub] = []

    async def start(*, hosts: Sequence[str] = (HOST, "localhost"), expired: bool = False) -> ProviderStub:
        stub = ProviderStub(Authority(), hosts=hosts, expired=expired)
        await stub.start(tmp_path)
        stubs.append(stub)
        return stub

    yield start
    for stub in stubs:
        await stub.stop()


@pytest.fixture
async def stub(start_stub: StartStub) -> ProviderStub:
    """One provider."""
    return await start_stub()


@pytest.fixture
def start_provider_rig(start_rig: StartRig) -> StartRig:
    """Starts an Envoy whose list is the provider and then these servers."""

    async def start(
        stub: ProviderStub,
        *then: str,
        made: ExternalSnapshot | None = None,
        settings: GatewaySettings | None = None,
        **more: Any,
    ) -> Rig:
        rig = await start_rig(lambda _head, _body: pick(PROVIDER, *then), list(then), settings=settings)
        rig.xds.publish(list(then), (), [provided(rig, stub, made or external(stub), **more)])
        await until(lambda: {PROVIDER, *then} <= rig.acknowledged)
        return rig

    return start
