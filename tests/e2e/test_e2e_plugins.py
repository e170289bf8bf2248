"""The example plug-in package, installed as anyone would, in the real command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

EXAMPLE = Path(__file__).parents[2] / "examples" / "plugin"
RACKS = ["10.0.1.5", "10.0.2.5", "10.0.3.5"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    command += ["--no-build-isolation", "--disable-pip-version-check", "--target", str(target), str(EXAMPLE)]
    subprocess.run(command, check=True)
    return target


def pilotage(*arguments: str, site: Path | None) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ) | ({} if site is None else {"PYTHONPATH": str(site)})
    command = [sys.executable, "-c", "from pilotage_cli.main import run; run()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    scheduling = {
        "scorers": [
            {"type": "queue-depth", "weight": 1},
            {"type": "example.com/rack-distance", "weight": 2, "parameters": {"rack": "2"}},
        ],
        "filters": [{"type": "example.com/not-draining", "parameters": {"draining": f"{RACKS[2]}:8000"}}],
        "picker": {"type": "example.com/best-two", "parameters": {"seed": "1"}},
    }
    spec = {
        "endpoints": [{"address": address, "port": 8000} for address in RACKS],
        "models": [{"name": "m"}],
        "scheduling": scheduling,
    }
    pool = {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "ModelPool",
        "metadata": {"name": "p"},
        "spec": spec,
    }
    (tmp_path / "pool.yaml").write_text(yaml.safe_dump(pool))
    request = {"path": "/v1/completions", "body": {"model": "m", "prompt": "hi"}}
    (tmp_path / "request.txt").write_text(json.dumps(request))
    return tmp_path


def explained(folder: Path, site: Path | None) -> dict:
    done = pilotage(
        "explain", "-f", str(folder), "--request", str(folder / "request.txt"), "--output", "json", site=site
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_installed_plugin_takes_part_in_decisions(folder, installed):
    found = explained(folder, installed)
    assert found["skipped"] == []
    terms = {one["address"]: one["terms"]["example.com/rack-distance"] for one in found["candidates"]}
    assert terms == {f"{address}:8000": hops for address, hops in zip(RACKS, (1, 0, 1), strict=True)}
    dropped = {one["address"]: one["dropped"] for one in found["candidates"]}
    assert dropped[f"{RACKS[2]}:8000"] == ["draining"]
    assert {one["address"] for one in found["attempts"]} == {f"{address}:8000" for address in RACKS[:2]}


def test_without_it_each_step_is_skipped_by_name_and_check_warns(folder):
    found = explained(folder, None)
    assert found["skipped"] == [
        f"example.com/{step}: no plug-in of that name is installed"
        for step in ("rack-distance", "not-draining", "best-two")
    ]
    checked = pilotage("check", "-f", str(folder), "--output", "json", site=None)
    codes = [one["code"] for one in json.loads(checked.stdout)["findings"]]
    assert codes == ["unknown-step"] * 3


def test_where_it_is_installed_check_says_so_and_warns_of_nothing(folder, installed):
    checked = pilotage("check", "-f", str(folder), "--output", "json", site=installed)
    told = json.loads(checked.stdout)
    assert [(one["severity"], one["code"]) for one in told["findings"]] == [("info", "plug-in")] * 3
    assert told["warnings"] == 0
