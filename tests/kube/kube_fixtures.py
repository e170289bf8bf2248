"""A real control plane for a session of tests, and a namespace of its own for each. Imported by conftests."""

import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from tcp_proxy import TcpProxy

from pilotage_kube.client import ApiClient
from pilotage_kube.resource import NAMESPACES
from pilotage_kube.testing import ControlPlane

ASSETS = Path(__file__).parents[2] / "hack" / "kube" / "assets.py"
PROGRAMS = ("kube-apiserver", "etcd", "kubectl")

StartControlPlane = Callable[..., ControlPlane]


def assets_folder() -> Path:
    """Where the programs are."""
    where = subprocess.run([sys.executable, ASSETS, "where"], capture_output=True, text=True, check=True)
    return Path(where.stdout.strip())


def mark_as_kube(items: list[pytest.Item], folder: Path) -> None:
    """Mark the tests of a folder, and skip them where the programs are missing and may be."""
    missing = not all((assets_folder() / program).exists() for program in PROGRAMS)
    for item in items:
        if folder not in item.path.parents:
            continue
        item.add_marker(pytest.mark.kube)
        if missing and not os.environ.get("PILOTAGE_REQUIRE_KUBE"):
            item.add_marker(pytest.mark.skip(reason="no kube-apiserver and etcd: run `make kube-assets`"))


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One for the session: do not stop it in a test."""
    with ControlPlane(tmp_path_factory.mktemp("control-plane"), assets=assets_folder()) as plane:
        yield plane


@pytest.fixture
def start_control_plane(tmp_path: Path) -> Iterator[StartControlPlane]:
    """Starts one of a test's own, to break it."""
    planes: list[ControlPlane] = []

    def start(*arguments: str) -> ControlPlane:
        folder = tmp_path / f"control-plane-{len(planes)}"
        plane = ControlPlane(folder, assets=assets_folder(), apiserver_arguments=arguments)
        planes.append(plane)
        plane.start()
        return plane

    yield start
    for plane in planes:
        plane.stop()


@pytest.fixture
async def client(control_plane: ControlPlane) -> AsyncIterator[ApiClient]:
    """As administrator."""
    async with ApiClient(control_plane.connection()) as found:
        yield found


@pytest.fixture
async def namespace(client: ApiClient) -> str:
    """A fresh one. Without controllers nothing would finish deleting it, so it stays."""
    name = f"test-{secrets.token_hex(4)}"
    await client.create(NAMESPACES, NAMESPACES.object(name))
    return name


@pytest.fixture
async def proxy(control_plane: ControlPlane) -> AsyncIterator[TcpProxy]:
    """A way to the API server that a test can cut."""
    async with TcpProxy(control_plane.port) as found:
        yield found
