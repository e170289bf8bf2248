"""What the example policies with rules use, and what `pilotage check` says of a condition that is wrong."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_texts
from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import Otherwise
from pilotage_cli.main import application

EXAMPLES = Path(__file__).parents[3] / "examples" / "rules"
FILES = sorted(EXAMPLES.glob("*.yaml"))


def check(folder: Path) -> tuple[int, str]:
    done = CliRunner().invoke(application(), ["check", "-f", str(folder)], env={"COLUMNS": "300"})
    return done.exit_code, done.output


def test_the_examples_use_every_field_of_rules():
    texts = [(file.name, file.read_text()) for file in FILES]
    routes = compile_resources(load_texts(texts), GatewaySettings()).snapshot.routes
    rules = [rule for route in routes for rule in route.rules]
    reads = {read.partition("(")[0].partition("[")[0] for rule in rules for read in rule.reads}
    assert {"poolReady", "poolSaturation", "poolQueue", "headers", "request.contextTokens"} <= reads
    assert any(rule.sticky_by for rule in rules)
    assert any(route.overrides for route in routes)
    assert {route.otherwise for route in routes} == set(Otherwise)


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("request.contextTokens", "request.contextToken", "did you mean 'request.contextTokens'?"),
        ("> 8000", "> '8000'", "'>' does not take (int, string)"),
        ("'search_*'", "'search_*", "Syntax error"),
    ],
)
def test_a_wrong_condition_is_told_with_file_place_and_fix(tmp_path, right, wrong, told):
    for file in FILES:
        (tmp_path / file.name).write_text(file.read_text().replace(right, wrong))
    code, shown = check(tmp_path)
    assert code == 1
    assert "by-size.yaml" in shown
    assert "spec.rules[0].when" in shown
    assert "line " in shown
    assert told in " ".join(shown.split())
