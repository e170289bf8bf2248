"""A whole gateway in this process: real Envoy, the picker, simulated model servers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from gateway_rig import GatewayRig

StartGateway = Callable[..., Awaitable[GatewayRig]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.envoy)


@pytest.fixture
async def start_gateway(tmp_path: Path) -> AsyncIterator[StartGateway]:
    """Starts a gateway over pools given as `{name: (model, count)}`; ended after the test."""
    rigs: list[GatewayRig] = []

    async def start(**options: object) -> GatewayRig:
        rig = GatewayRig(tmp_path / f"gateway-{len(rigs)}", **options)  # type: ignore[arg-type]
        rigs.append(rig)
        await rig.start()
        return rig

    yield start
    for rig in rigs:
        await rig.stop()


@pytest.fixture
async def gateway(start_gateway: StartGateway) -> GatewayRig:
    """One pool of three servers."""
    return await start_gateway()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(
        timeout=timeout, connector=aiohttp.TCPConnector(limit=0, force_close=False)
    ) as one:
        yield one
    await asyncio.sleep(0)
