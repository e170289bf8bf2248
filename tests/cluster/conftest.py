"""The gateway, installed by its chart on the single-node cluster that `make test-cluster` brings up."""

import os
from pathlib import Path

import cluster_rig
import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    inside = bool(os.environ.get("PILOTAGE_IN_CLUSTER"))
    for item in items:
        if not item.path.is_relative_to(here):
            continue
        item.add_marker(pytest.mark.cluster)
        item.add_marker(pytest.mark.timeout(600))
        if not inside and not os.environ.get("PILOTAGE_REQUIRE_CLUSTER"):
            item.add_marker(pytest.mark.skip(reason="no cluster: run `make test-cluster`"))


@pytest.fixture(scope="module")
def gateway() -> str:
    """The URL of a gateway that is ready, with the examples' servers, pools and policies in force."""
    assert os.environ.get("PILOTAGE_IN_CLUSTER"), "no cluster: run `make test-cluster` (root, Linux)"
    cluster_rig.install()
    cluster_rig.apply_examples()
    return cluster_rig.gateway_url()
