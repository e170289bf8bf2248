"""The documented table of calls is the one that runs."""

import re
from pathlib import Path

from pilotage_api.calls import INFERENCE_PATHS
from pilotage_extproc.dialects.call import no_prompt
from pilotage_extproc.dialects.table import CALLS

PAGE = Path(__file__).parents[3] / "docs" / "requests.md"


def documented() -> list[tuple[tuple[str, ...], str, str, bool]]:
    """Paths, body, model and whether the prompt counts, of each row."""
    table = PAGE.read_text().partition("| call | paths |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    return [
        (tuple(re.findall("`([^`]+)`", paths)), body, model, "prefix" in placed)
        for _, paths, body, model, placed in rows
    ]


def test_every_call_is_documented_as_it_is():
    assert documented() == [
        (
            call.paths,
            call.body.value,
            "required" if call.model_required else "optional",
            call.prompt is not no_prompt,
        )
        for call in CALLS
    ]


def test_policies_match_the_paths_of_the_table_in_its_order():
    assert tuple(path for call in CALLS for path in call.paths) == INFERENCE_PATHS
