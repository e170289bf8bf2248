"""Every code that `pilotage check` can tell is in the docs' tables of findings."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PARTS = ("api/pilotage_api", "operator/pilotage_operator", "cli/pilotage_cli")
_PLACES = {"find": 1, "Finding": 1, "Problem": 0, "ConditionProblem": 0}
"""Where calls that tell a finding have its code."""
_ALIKE = re.compile(r"[a-z]+(-[a-z]+)+")


def codes_in(source: str) -> Iterator[str]:
    """Codes that are written out in calls."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            place = _PLACES.get(name)
            if place is not None and len(node.args) > place:
                for one in ast.walk(node.args[place]):
                    value = one.value if isinstance(one, ast.Constant) else None
                    if isinstance(value, str) and _ALIKE.fullmatch(value):
                        yield value


CODES = sorted(
    {
        code
        for part in PARTS
        for path in (ROOT / part).rglob("*.py")
        for code in codes_in(path.read_text(encoding="utf-8"))
    }
)
TOLD = (ROOT / "docs/resources.md").read_text(encoding="utf-8").partition("## Findings")[2]


def test_there_are_codes() -> None:
    assert {"no-such-detector", "weak-signal", "name-conflict", "unknown-field"} <= set(CODES)


@pytest.mark.parametrize("code", CODES)
def test_a_code_is_documented(code: str) -> None:
    assert f"`{code}`" in TOLD
