"""`python -m bench.choice`: right answers in time for their money, against four rivals; and predicted times.

`fleet` runs the routers, `latency` judges predictions, `decisions` times choices, `budgets` cuts recorded
answers at output budgets. `docs` writes their results
(bench/results/choice-*.json) into docs/choice.md; `sample` draws the sample anew.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.choice.answers import Question, read_sample, split, write_sample
from bench.choice.budgets import compare_budgets
from bench.choice.decisions import time_choices
from bench.choice.document import write_documents
from bench.choice.fleet import DEADLINE_SECONDS, Load
from bench.choice.predictions import judge
from bench.choice.suite import compare, outside, points

SEEDS = (1, 2, 3, 4, 5)


def main() -> int:
    """Run what the arguments ask for; its results are printed, and written as JSON where a file is named."""
    parser = argparse.ArgumentParser(prog="python -m bench.choice", description=__doc__)
    parser.add_argument("what", choices=("fleet", "latency", "decisions", "budgets", "docs", "sample"))
    parser.add_argument("--routellm", type=Path, help="RouteLLM's data, for sample and budgets")
    parser.add_argument("--seconds", type=float, default=Load().seconds, help="virtual seconds of a run")
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.what in ("sample", "budgets") and given.routellm is None:
        parser.error(f"{given.what} needs --routellm")
    if given.what == "sample":
        print(f"{write_sample(given.routellm)} questions")
        return 0
    if given.what == "docs":
        write_documents()
        return 0
    seeds, load = SEEDS[: given.seeds], Load(seconds=given.seconds)
    questions = read_sample()
    if given.what == "decisions":
        result = _decisions()
    elif given.what == "budgets":
        result = compare_budgets(given.routellm)
        print(json.dumps(result, indent=1))
    else:
        result = (_fleet if given.what == "fleet" else _latency)(questions, load, seeds)
    if given.json is not None:
        given.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


def _fleet(questions: list[Question], load: Load, seeds: Sequence[int]) -> dict[str, Any]:
    runs = compare(questions, load, seeds)
    found = points(runs)
    print(f"{'router':<34}{'right in time':>24}{'USD per 1,000':>24}{'to the strong':>15}")
    for one in found:
        print(
            f"{one.router:<34}{one.right.mean:>14.3f} ± {one.right.half:<7.3f}"
            f"{one.usd.mean * 1000:>14.3f} ± {one.usd.half * 1000:<7.3f}{one.strong:>13.2f}"
        )
    verdicts = outside(runs)
    for verdict in verdicts:
        print(verdict.text)
    return {
        "deadlineSeconds": DEADLINE_SECONDS,
        "seeds": list(seeds),
        "load": {"first": load.first, "last": load.last, "seconds": load.seconds},
        "points": [one.as_dict() for one in found],
        "verdicts": [verdict.text for verdict in verdicts],
    }


SIZES = ((2, 3, 100), (2, 3, 1000), (5, 6, 1000), (5, 6, 5000))


def _decisions() -> dict[str, Any]:
    rows = [time_choices(*size) for size in SIZES]
    for row in rows:
        print(
            f"{row.models} models, {row.budgets} budgets, {row.endpoints} endpoints: "
            f"{row.choice_seconds * 1000:.3f} ms of CPU, {row.choice_seconds / row.ordered_seconds:.1f} "
            f"times an ordered decision ({row.ordered_seconds * 1000:.3f} ms)"
        )
    return {"rows": [row.as_dict() for row in rows]}


def _latency(questions: list[Question], load: Load, seeds: Sequence[int]) -> dict[str, Any]:
    rows = []
    for seed in seeds:
        priors, replayed = split(questions, seed)
        row = judge(priors, replayed, load, seed)
        rows.append(row.as_dict())
        print(
            f"seed {seed}: MAE {row.error * 1000:.0f} ms, queue alone {row.queue_error * 1000:.0f} ms "
            f"({row.gain:+.0%}), p90 coverage {row.coverage:.3f}, {row.count} answers"
        )
    passed = all(row["gain"] >= 0.2 and 0.85 <= row["coverage"] <= 0.95 for row in rows)
    print("beats the queue alone by 20% with p90 coverage in .85 to .95 on every seed:", passed)
    return {"rows": rows, "passed": passed}


if __name__ == "__main__":
    sys.exit(main())
