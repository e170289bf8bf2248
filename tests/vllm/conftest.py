"""Two real vLLM servers, and the gateway in front of them."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import yaml
from gateway_records import measured
from vllm_servers import HACK, VllmServer

sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))

from free_ports import free_ports
from gateway_rig import FREE

from pilotage_api.settings import GatewaySettings
from pilotage_cli.gateway.standalone import Gateway

POOL = {
    "apiVersion": "pilotage.dev/v1alpha1",
    "kind": "ModelPool",
    "metadata": {"name": "tiny"},
    "spec": {
        "engine": "vllm",
        "models": [
            {
                "name": "tiny",
                "aliases": ["small"],
                "adapters": [{"name": "sql-lora"}, {"name": "chat-lora"}],
            }
        ],
    },
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    where = Path(subprocess.run([HACK, "where"], capture_output=True, text=True, check=True).stdout.strip())
    missing = not any(where.glob("installed-*"))
    for item in items:
        item.add_marker(pytest.mark.vllm)
        item.add_marker(pytest.mark.timeout(600))
        if missing and not os.environ.get("PILOTAGE_REQUIRE_VLLM"):
            item.add_marker(pytest.mark.skip(reason="vLLM is not installed: run `make test-vllm`"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[list[VllmServer]]:
    folder = tmp_path_factory.mktemp("vllm")
    found = [VllmServer(port, folder / f"{port}.log") for port in free_ports(2)]
    try:
        for server in found:
            server.start()
        for server in found:
            await server.wait_ready()
        yield found
    finally:
        for server in found:
            server.kill()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def gateway(
    servers: list[VllmServer], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    folder = tmp_path_factory.mktemp("manifests")
    endpoints = [{"address": "127.0.0.1", "port": server.port} for server in servers]
    (folder / "pool.yaml").write_text(
        yaml.safe_dump({**POOL, "spec": {**POOL["spec"], "endpoints": endpoints}})
    )
    settings = GatewaySettings(listen=FREE, drain_seconds=2)
    one = Gateway(folder, settings, simulate=False, on_compiled=lambda _: None, on_trouble=print)
    await one.start()
    yield one
    await one.stop()


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def started_again(gateway: Gateway, servers: list[VllmServer]) -> None:
    """A vLLM whose engine has died by itself is started again, as a node would do, and its log is shown."""
    ended = [server for server in servers if server.ended_by_itself]
    for server in ended:
        print(f"vLLM at {server.address} has ended by itself:\n{server.said()}")
        server.kill()
        server.start()
    for server in ended:
        await server.wait_ready()
    if ended:
        await measured(gateway)
