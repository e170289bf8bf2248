"""The chart with the real helm and kubectl, on a real control plane where one is needed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# where the rights are written down that each part needs
sys.path.insert(0, str(Path(__file__).parents[1] / "kube"))

from helm_rig import ChartRig, Helm

from pilotage_kube.testing import ControlPlane

ASSETS = Path(__file__).parents[2] / "hack" / "kube" / "assets.py"
PROGRAMS = ("kube-apiserver", "etcd", "kubectl", "helm")


def _assets() -> Path:
    where = subprocess.run([sys.executable, ASSETS, "where"], capture_output=True, text=True, check=True)
    return Path(where.stdout.strip())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = not all((_assets() / program).exists() for program in PROGRAMS)
    for item in items:
        if not item.path.is_relative_to(Path(__file__).parent):
            continue
        item.add_marker(pytest.mark.kube)
        if missing and not os.environ.get("PILOTAGE_REQUIRE_KUBE"):
            item.add_marker(pytest.mark.skip(reason="no helm and kube-apiserver: run `make kube-assets`"))


@pytest.fixture(scope="session")
def helm() -> Helm:
    """helm without a cluster."""
    return Helm(_assets())


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChartRig]:
    """helm and kubectl on a control plane of the module's own: nothing runs there, all is checked."""
    with ControlPlane(tmp_path_factory.mktemp("control-plane"), assets=_assets()) as plane:
        yield ChartRig(_assets(), plane.kubeconfig)
