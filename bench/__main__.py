"""Throughput and added latency against a fixed-pick ext_proc: a table and JSON.

python -m bench [--quick] [--only NAME] [--rounds N] [--seconds S] [--out FILE] [--long MINUTES]
"""

import argparse
import asyncio
import json
import platform
import statistics
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.bodies import write_bodies
from bench.load import CONNECTIONS, Measured, run_load
from bench.stack import FLOOR, FLOOR_WITHOUT_LOG, PILOTAGE, Stack, rss_bytes


@dataclass(frozen=True)
class Scenario:
    """One comparison."""

    name: str
    body_bytes: int
    endpoints: int
    chunks: int = 0
    kinds: tuple[str, ...] = (FLOOR, PILOTAGE)


SCENARIOS = (
    Scenario("2 KB, 10 endpoints", 2_000, 10, kinds=(FLOOR_WITHOUT_LOG, FLOOR, PILOTAGE)),
    Scenario("220 KB, 10 endpoints", 220_000, 10, kinds=(FLOOR_WITHOUT_LOG, FLOOR, PILOTAGE)),
    Scenario("2 KB, 1,000 endpoints", 2_000, 1000),
    Scenario("220 KB, 1,000 endpoints", 220_000, 1000),
    Scenario("2 KB, answer of 200 chunks", 2_000, 10, chunks=200),
)


async def compare(scenario: Scenario, rounds: int, seconds: float) -> dict[str, Any]:
    """All kinds side by side, in turn A B A B: the machine's drift meets each alike."""
    count = 200 if scenario.body_bytes < 10_000 else 60
    with tempfile.TemporaryDirectory(prefix="pilotage-bodies-") as folder:
        write_bodies(Path(folder), scenario.body_bytes, count)
        runs: dict[str, list[Measured]] = {kind: [] for kind in scenario.kinds}
        async with AsyncExitStack() as exits:
            stacks = {
                kind: await exits.enter_async_context(Stack(kind, scenario.endpoints, scenario.chunks))
                for kind in scenario.kinds
            }
            for kind in scenario.kinds:  # warm-up
                await run_load(stacks[kind], Path(folder), count, min(1.0, seconds))
            for _ in range(rounds):
                for kind in scenario.kinds:
                    runs[kind].append(await run_load(stacks[kind], Path(folder), count, seconds))
            interval = await stacks[PILOTAGE].scrape_interval()
    floor = [run.requests_per_second for run in runs[FLOOR]]
    ratios = [run.requests_per_second / base for run, base in zip(runs[PILOTAGE], floor, strict=True)]
    return {
        "scenario": scenario.name,
        "scrape_interval_seconds": interval,
        "ratio": {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)},
        "runs": {kind: [run.as_dict() for run in measured] for kind, measured in runs.items()},
    }


async def long_run(minutes: float, console: Console) -> dict[str, Any]:
    """Memory of the picker under 220 KB bodies."""
    samples = []
    with tempfile.TemporaryDirectory(prefix="pilotage-bodies-") as folder:
        write_bodies(Path(folder), 220_000, 60)
        async with Stack(PILOTAGE, 10) as stack:
            for number in range(int(minutes * 4) + 1):
                if number:
                    await run_load(stack, Path(folder), 60, 15)
                samples.append({"minutes": number / 4, "rss_mib": rss_bytes(stack.picker.pid) / 2**20})
                console.print(f"{samples[-1]['minutes']:5.2f} min  {samples[-1]['rss_mib']:.0f} MiB")
    return {"memory": samples}


def table_of(results: list[dict[str, Any]]) -> Table:
    """The results for people; medians over the rounds."""
    table = Table(title=f"{CONNECTIONS} connections, Envoy with one worker; medians, ratio min to max")
    for heading in (
        "scenario",
        "picker",
        "req/s",
        "of the floor",
        "p50 ms",
        "p99 ms",
        "picker CPU ms",
        "Envoy CPU ms",
    ):
        table.add_column(heading, justify="left" if heading in ("scenario", "picker") else "right")
    for result in results:
        for kind, runs in result["runs"].items():
            ratio = result["ratio"]
            told = f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})"
            table.add_row(
                result["scenario"],
                kind,
                *(f"{median(runs, 'requests_per_second'):.0f}", told if kind == PILOTAGE else ""),
                *(f"{median(runs, name):.2f}" for name in ("p50_ms", "p99_ms")),
                *(f"{median(runs, name):.3f}" for name in ("picker_cpu_ms", "envoy_cpu_ms")),
            )
    return table


def median(runs: list[dict[str, Any]], name: str) -> float:
    """Of one figure over runs."""
    return statistics.median(run[name] for run in runs)


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short round, to see that it runs")
    parser.add_argument("--only", default="", help="scenarios whose name holds this")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--long", type=float, default=0.0, metavar="MINUTES", help="memory over time instead")
    parser.add_argument("--out", type=Path, default=Path("bench/results/latest.json"))
    options = parser.parse_args()
    console = Console(width=150)
    report: dict[str, Any] = {"machine": platform.platform(), "python": platform.python_version()}
    if options.long:
        report |= await long_run(options.long, console)
    else:
        rounds, seconds = (1, 1.0) if options.quick else (options.rounds, options.seconds)
        results = []
        for scenario in SCENARIOS:
            if options.only in scenario.name:
                results.append(await compare(scenario, rounds, seconds))
                console.print(table_of(results[-1:]))
        report["results"] = results
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    console.print(f"written to {options.out}")
    failed = [
        run
        for one in report.get("results", [])
        for runs in one["runs"].values()
        for run in runs
        if run["failed"]
    ]
    if failed:
        console.print(f"{len(failed)} runs had failed requests", style="red")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
