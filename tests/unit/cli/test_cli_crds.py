"""`pilotage crds`: written, printed and checked for drift."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from pilotage_cli.failure import CommandError
from pilotage_cli.main import application

CRDS = Path(__file__).parents[3] / "crds"
NAMES = ["modelpools.pilotage.dev.yaml", "routepolicies.pilotage.dev.yaml", "tenants.pilotage.dev.yaml"]


def crds(*arguments: str):
    return CliRunner().invoke(application(), ["crds", *arguments])


def test_the_projects_crds_are_current():
    assert crds("--check", str(CRDS)).exit_code == 0
    assert sorted(path.name for path in CRDS.iterdir()) == NAMES


def test_what_is_written_is_what_is_printed(tmp_path):
    assert crds("--out", str(tmp_path / "new")).exit_code == 0
    written = [yaml.safe_load((tmp_path / "new" / name).read_text()) for name in NAMES]
    assert list(yaml.safe_load_all(crds().output)) == written


@pytest.mark.parametrize("spoil", [lambda path: path.write_text("x"), lambda path: path.unlink()])
def test_drift_is_named_and_exits_1(tmp_path, spoil):
    crds("--out", str(tmp_path))
    spoil(tmp_path / NAMES[1])
    ran = crds("--check", str(tmp_path))
    assert isinstance(ran.exception, CommandError)
    assert ran.exception.exit_code == 1
    assert str(ran.exception).startswith(f"{NAMES[1]} in {tmp_path} not current: run `make crds`")
    assert NAMES[0] not in str(ran.exception)


def test_a_crd_of_a_kind_that_is_no_more_is_drift(tmp_path):
    crds("--out", str(tmp_path))
    (tmp_path / "old.pilotage.dev.yaml").write_text("")
    assert isinstance(crds("--check", str(tmp_path)).exception, CommandError)
