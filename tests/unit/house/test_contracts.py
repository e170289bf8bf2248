"""The import contracts bite: each refuses an import that is planted in a copy of the packages."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
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


@dataclass
class Report:
    """What import-linter says of the packages in a folder."""

    kept: dict[str, bool]
    """Whether each contract is."""
    broken: dict[str, str]
    """What it says of each that is not."""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages and their contracts."""
    folder = tmp_path_factory.mktemp("planted")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def lint_imports(folder: Path) -> Report:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(str(folder / name) for name in FOLDERS)},
        capture_output=True,
        text=True,
        check=False,
    )
    summary, _, details = done.stdout.partition("\nBroken contracts\n")
    names = [contract["name"] for contract in CONTRACTS]
    kept = {}
    for name in names:
        lines = [line for line in summary.splitlines() if line.startswith(f"{name} ")]
        assert len(lines) == 1, done.stdout + done.stderr
        kept[name] = "KEPT" in lines[0]
    assert done.returncode == (0 if all(kept.values()) else 1)
    sections = re.split(rf"^({'|'.join(map(re.escape, names))})\n-+\n", details, flags=re.MULTILINE)
    return Report(kept, dict(zip(sections[1::2], sections[2::2], strict=True)))


@pytest.fixture(scope="module")
def planted_report(copy: Path) -> Report:
    """With all the forbidden imports at once: each is to be found and named."""
    before = {file: (copy / file).read_text() for _, file, _ in PLANTED}
    for _, file, planted in PLANTED:
        with (copy / file).open("a") as module:
            module.write(f"\nimport {planted}\n")
    report = lint_imports(copy)
    for file, text in before.items():
        (copy / file).write_text(text)
    return report


def test_an_unchanged_copy_keeps_every_contract(copy):
    assert set(lint_imports(copy).kept.values()) == {True}


@pytest.mark.parametrize(("contract", "file", "planted"), PLANTED)
def test_a_forbidden_import_is_refused(planted_report, contract, file, planted):
    assert planted_report.kept[contract] is False
    importer = ".".join(Path(file).with_suffix("").parts[1:])
    told = " ".join(planted_report.broken[contract].split())
    assert f"{importer} -> {planted} (l." in told


def test_each_contract_has_an_import_that_breaks_it():
    assert {contract for contract, _, _ in PLANTED} == {contract["name"] for contract in CONTRACTS}
