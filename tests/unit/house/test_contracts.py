"""The import contracts bite: each refuses an import that is planted in a copy of the packages."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDERS = ("api", "kube", "operator", "extproc", "cli", "sim")
EXTPROC = "extproc/pilotage_extproc"
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]

PLANTED = [
    ("api imports none of the others", "api/pilotage_api/compile.py", "pilotage_kube.errors"),
    ("api does no input or output", "api/pilotage_api/compile.py", "aiohttp"),
    ("api does no input or output", "api/pilotage_api/load.py", "socket"),
    ("kube imports only api", "kube/pilotage_kube/errors.py", "pilotage_extproc.domain.clock"),
    ("sim stands alone", "sim/pilotage_sim/faults.py", "pilotage_api.address"),
    (
        "operator imports only api and kube",
        "operator/pilotage_operator/conditions.py",
        "pilotage_extproc.domain.clock",
    ),
    (
        "extproc never imports operator, cli or sim",
        f"{EXTPROC}/server/upkeep.py",
        "pilotage_operator.conditions",
    ),
    ("kopf is the operator's", f"{EXTPROC}/sources/pods.py", "kopf"),
    ("extproc layers", f"{EXTPROC}/scheduling/scheduler.py", "pilotage_extproc.stages.shed"),
    ("extproc layers", f"{EXTPROC}/state/health.py", "pilotage_extproc.rules.globs"),
    ("what decides knows no gRPC, HTTP or Kubernetes", f"{EXTPROC}/stages/count.py", "grpc"),
    ("what decides knows no gRPC, HTTP or Kubernetes", f"{EXTPROC}/scheduling/filters.py", "aiohttp"),
    (
        "what decides knows no gRPC, HTTP or Kubernetes",
        f"{EXTPROC}/request/ledger.py",
        "pilotage_kube.client",
    ),
    (
        "what decides knows no gRPC, HTTP or Kubernetes",
        f"{EXTPROC}/pipeline/pipeline.py",
        "pilotage_extproc.transport.contract",
    ),
    ("only envoy knows Envoy's messages", f"{EXTPROC}/server/upkeep.py", "envoy"),
    ("only envoy knows Envoy's messages", f"{EXTPROC}/settlement/wire.py", "envoy_data_plane"),
    ("stages do not import each other", f"{EXTPROC}/stages/count.py", "pilotage_extproc.stages.shed"),
    ("APIs do not import each other", f"{EXTPROC}/dialects/rerank.py", "pilotage_extproc.dialects.chat"),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages and their contracts, to be changed and put back."""
    folder = tmp_path_factory.mktemp("planted")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def lint_imports(folder: Path) -> dict[str, bool]:
    """Whether each contract is kept by the packages in a folder."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(str(folder / name) for name in FOLDERS)},
        capture_output=True,
        text=True,
        check=False,
    )
    kept = {}
    for contract in CONTRACTS:
        lines = [line for line in done.stdout.splitlines() if line.startswith(f"{contract['name']} ")]
        assert len(lines) == 1, done.stdout + done.stderr
        kept[contract["name"]] = "KEPT" in lines[0]
    assert done.returncode == (0 if all(kept.values()) else 1)
    return kept


def test_an_unchanged_copy_keeps_every_contract(copy):
    assert set(lint_imports(copy).values()) == {True}


@pytest.mark.parametrize(("contract", "file", "planted"), PLANTED)
def test_a_forbidden_import_is_refused(copy, contract, file, planted):
    path = copy / file
    before = path.read_text()
    try:
        path.write_text(f"{before}\nimport {planted}\n")
        assert lint_imports(copy)[contract] is False
    finally:
        path.write_text(before)


def test_each_contract_has_an_import_that_breaks_it():
    assert {contract for contract, _, _ in PLANTED} == {contract["name"] for contract in CONTRACTS}
