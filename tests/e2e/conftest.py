"""A whole gateway in this process: real Envoy, the picker, simulated model servers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
import yaml
from free_ports import free_ports
from gateway_rig import SMALL, GatewayRig, policy, pool
from up_process import Up

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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Manifests of one pool of two servers and a policy `auto`."""
    manifests = [
        pool("small", free_ports(2), SMALL),
        policy("auto", {"models": ["auto"]}, [{"model": "small"}]),
    ]
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "all.yaml").write_text(yaml.safe_dump_all(manifests))
    return folder


@pytest.fixture
async def up(folder: Path) -> AsyncIterator[Up]:
    """`pilotage up --sim` on them."""
    one = Up(folder)
    await one.start()
    yield one
    if one.process.returncode is None:
        one.process.terminate()
        await one.ended()
