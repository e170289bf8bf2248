"""Resources in documents are ones that this version takes."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pilotage_api.load import load_objects
from pilotage_api.settings import GatewaySettings

ROOT = Path(__file__).parents[3]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("examples/*/*.md"))]


def blocks() -> list[Any]:
    """Whole resources of ours, as documents show them."""
    found = []
    for document in DOCUMENTS:
        for block in re.findall(r"^ *```yaml\n(.*?)```", document.read_text(), re.DOTALL | re.MULTILINE):
            if "apiVersion: pilotage.dev" in block:
                found.append(pytest.param(block, id=f"{document.name}-{len(found)}"))
    return found


@pytest.mark.parametrize("block", blocks())
def test_a_resource_in_a_document_is_valid(block: str) -> None:
    objects = [
        one for one in yaml.safe_load_all(block) if str(one.get("apiVersion")).startswith("pilotage.dev")
    ]
    for settings in [one for one in objects if one["kind"] == "GatewaySettings"]:
        GatewaySettings.model_validate(settings["spec"])
    loaded = load_objects([one for one in objects if one["kind"] != "GatewaySettings"])
    assert [finding.message for finding in loaded.findings] == []
    assert loaded.refused == set()
