"""The settings that commands start with: never the defaults where a file holds something else."""

from pathlib import Path

import pytest

from pilotage_cli.failure import CommandError
from pilotage_cli.options import settings_of

KIND = "apiVersion: pilotage.dev/v1alpha1\nkind: GatewaySettings\n"
SPEC = "spec:\n  decisionHeaders: summary\n"


def test_the_settings_of_a_folder_are_used(tmp_path: Path) -> None:
    (tmp_path / "pilotage.yaml").write_text(KIND + SPEC)
    assert settings_of(tmp_path).decision_headers == "summary"


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("pilotage.yaml", "decisionHeaders: summary\n", "apiVersion and kind are missing"),
        ("pilotage.yaml", "port: 1\n", "apiVersion and kind are missing"),
        ("other.yaml", "decisionHeaders: summary\n", "write apiVersion: pilotage.dev/v1alpha1 and kind: Gat"),
        ("other.yaml", KIND.replace("Settings", "Setings") + SPEC, "did you mean 'GatewaySettings'?"),
        ("other.yaml", KIND.replace("pilotage", "pilotge") + SPEC, "write pilotage.dev/v1alpha1"),
        ("other.yaml", KIND.replace("v1alpha1", "v1") + SPEC, "write pilotage.dev/v1alpha1"),
        ("pilotage.yaml", KIND + "spec: [\n", "correct the file"),
    ],
)
def test_settings_that_are_not_understood_stop_the_command(
    tmp_path: Path, name: str, text: str, says: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(CommandError) as caught:
        settings_of(tmp_path)
    assert name in str(caught.value)
    assert says in str(caught.value)


def test_manifests_of_others_do_not_stop_it(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("apiVersion: v1\nkind: Pod\n")
    assert settings_of(tmp_path).decision_headers != "summary"
