"""The operator against a real API server: the CRDs are installed, each test has a namespace of its own."""

import secrets
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "kube"))

from kube_fixtures import (  # noqa: F401 - fixtures
    assets_folder,
    client,
    control_plane,
    mark_as_kube,
    namespace,
    proxy,
    start_control_plane,
)
from operator_run import Operators, install_crds, make_namespace, without_rules

from pilotage_kube.client import ApiClient
from pilotage_kube.testing import ControlPlane


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_as_kube(items, Path(__file__).parent)


@pytest.fixture(scope="session")
def with_crds(control_plane: ControlPlane) -> ControlPlane:  # noqa: F811 - the fixture
    """The session's control plane, with our CRDs."""
    install_crds(control_plane)
    return control_plane


@pytest.fixture
async def operators(with_crds: ControlPlane, client: ApiClient, namespace: str) -> AsyncIterator[Operators]:  # noqa: F811
    """Starts operators and pickers for the test's namespace, and ends them."""
    async with Operators(with_crds, client, namespace) as found:
        yield found


@pytest.fixture(scope="session")
def lenient_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Another control plane, whose CRDs let through what this version refuses."""
    with ControlPlane(tmp_path_factory.mktemp("lenient"), assets=assets_folder()) as plane:
        install_crds(plane, change=without_rules)
        yield plane


@pytest.fixture
async def lenient(lenient_plane: ControlPlane) -> AsyncIterator[Operators]:
    """Operators and pickers there, without kopf: nothing depends on it."""
    async with ApiClient(lenient_plane.connection()) as found:
        name = await make_namespace(found, f"test-{secrets.token_hex(4)}")
        async with Operators(lenient_plane, found, name, kopf=False) as operators:
            yield operators
