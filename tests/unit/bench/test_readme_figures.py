"""The README's table says what the committed results say."""

import json
import re
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ROWS = {
    "chats that share system prompts": "shared-prefix",
    "conversations of several turns": "sessions",
    "bursts": "bursts",
    "long prompts among short ones": "long-mixed",
    "50 LoRA adapters, 4 slots a server": "adapters",
    "one server in eight three times slower": "slow-server",
    "nothing to gain: two hot prefixes, long answers": "hot-prefix",
}


def told() -> dict[str, list[int]]:
    lines = re.findall(
        r"^\| ([^|]+) \| (\d+) \| (\d+) \| \**(\d+)\** \|$", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    return {name: [int(figure) for figure in figures] for name, *figures in lines}


@pytest.mark.parametrize(("row", "workload"), ROWS.items())
def test_a_row_holds_the_means_over_the_seeds(row, workload):
    runs = json.loads((ROOT / "bench" / "results" / "placement-8.json").read_text())["runs"]
    means = [
        round(
            statistics.mean(
                run["ttft_mean_ms"]
                for run in runs
                if (run["workload"], run["balancer"]) == (workload, balancer)
            )
        )
        for balancer in ("round-robin", "least-request", "pilotage")
    ]
    assert told()[row] == means


def test_every_row_is_checked():
    assert told().keys() == ROWS.keys()
