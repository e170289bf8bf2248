"""kind-config.yaml, read by kind itself: its loader runs before it looks for Docker."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml
from helm_rig import ROOT

CONFIG = ROOT / "kind-config.yaml"


@pytest.fixture(scope="module")
def kind() -> Path:
    setup = ROOT / "hack" / "kind" / "setup"
    program = Path(
        subprocess.run([setup, "where"], capture_output=True, text=True, check=True).stdout.strip()
    )
    if not program.exists():
        if not os.environ.get("PILOTAGE_REQUIRE_KUBE"):
            pytest.skip("kind is not built: run `hack/kind/setup build`")
        subprocess.run([setup, "build"], check=True, timeout=100)
    return program


def said(kind: Path, config: str, folder: Path) -> str:
    """What kind says to a configuration where there is no Docker."""
    path = folder / "config.yaml"
    path.write_text(config)
    done = subprocess.run(
        [kind, "create", "cluster", "--config", path],
        env={"PATH": str(folder), "HOME": str(folder), "KUBECONFIG": str(folder / "kubeconfig")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    return done.stderr


def test_kind_takes_the_configuration(kind, tmp_path):
    assert "docker" in said(kind, CONFIG.read_text(), tmp_path)
    mount = "- role: worker\n  extraMounts:\n  - {hostPath: /tmp, containerPath: /opt/x, readOnly: true}"
    assert "docker" in said(kind, CONFIG.read_text().replace("- role: worker", mount), tmp_path)


def test_kind_would_tell_a_mistake(kind, tmp_path):
    assert "field rolle not found" in said(
        kind, CONFIG.read_text().replace("role: worker", "rolle: worker"), tmp_path
    )


def test_the_demonstration_finds_the_cluster_that_is_configured():
    config = yaml.safe_load(CONFIG.read_text())
    assert [node["role"] for node in config["nodes"]] == ["control-plane", "worker", "worker"]
    script = (ROOT / "hack" / "demo-on-kind").read_text()
    assert f"--name {config['name']}" in script
    assert f"kind-{config['name']}" in script
