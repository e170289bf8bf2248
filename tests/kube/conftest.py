"""A real control plane for all tests here."""

from pathlib import Path

import pytest
from kube_fixtures import (  # noqa: F401 - fixtures
    client,
    control_plane,
    mark_as_kube,
    namespace,
    proxy,
    start_control_plane,
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_as_kube(items, Path(__file__).parent)
