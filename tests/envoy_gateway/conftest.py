"""A real Envoy Gateway on the single-node cluster of `make test-envoy-gateway`, asking Pilotage."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "cluster"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    inside = bool(os.environ.get("PILOTAGE_IN_CLUSTER"))
    for item in items:
        if not item.path.is_relative_to(here):
            continue
        item.add_marker(pytest.mark.cluster)
        item.add_marker(pytest.mark.timeout(420))
        if not inside and not os.environ.get("PILOTAGE_REQUIRE_CLUSTER"):
            item.add_marker(pytest.mark.skip(reason="no cluster: run `make test-envoy-gateway`"))
