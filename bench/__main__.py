"""Throughput and added latency against a fixed-pick ext_proc: a table and JSON.

python -m bench [--quick] [--only NAME] [--rounds N] [--seconds S] [--out FILE] [--long MINUTES]

`BENCH_BEFORE=COMMAND` measures the `pilotage` command of another version in the same runs, `RIVAL=PROGRAM`
another project's picker (`bench/rival.py` says how it is started).
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import rival
from bench.bodies import write_bodies
from bench.documents import median
from bench.load import CONNECTIONS, Measured, run_load
from bench.stack import (
    BEFORE,
    FLOOR,
    FLOOR_ON_GRPCIO,
    FLOOR_WITHOUT_LOG,
    PILOTAGE,
    PILOTAGE_ON_GRPCIO,
    RIVAL,
    Stack,
    rss_bytes,
)


@dataclass(frozen=True)
class Member:
    """One picker behind an Envoy of its own."""

    label: str
    kind: str
    endpoints: int = 10
    chunks: int = 0
    real_page: bool = False
    full_duplex: bool = False
    ten_rules: bool = False
    tls: bool = False

    def stack(self) -> Stack:
        return Stack(
            self.kind,
            self.endpoints,
            self.chunks,
            self.real_page,
            full_duplex=self.full_duplex,
            ten_rules=self.ten_rules,
            tls=self.tls,
        )


@dataclass(frozen=True)
class Scenario:
    """Members side by side; the last is held against `base`."""

    name: str
    body_bytes: int
    members: tuple[Member, ...]
    base: str = FLOOR
    aim: float | None = None


def against_floor(name: str, size: int, endpoints: int, aim: float, *more: Member) -> Scenario:
    """Pilotage against the floor."""
    members = (*more, Member(FLOOR, FLOOR, endpoints), Member(PILOTAGE, PILOTAGE, endpoints))
    return Scenario(name, size, members, aim=aim)


_NO_LOG = Member(FLOOR_WITHOUT_LOG, FLOOR_WITHOUT_LOG)
_ON_GRPCIO = (Member(FLOOR_ON_GRPCIO, FLOOR_ON_GRPCIO), Member(PILOTAGE_ON_GRPCIO, PILOTAGE_ON_GRPCIO))
"""The transport of earlier versions, side by side."""
_BEFORE = (Member(BEFORE, BEFORE),) if "BENCH_BEFORE" in os.environ else ()
"""Another version in the same run."""
_BEFORE_AMONG_MANY = tuple(replace(member, endpoints=1000) for member in _BEFORE)
_RIVAL = (Member(RIVAL, RIVAL),) if rival.is_given() else ()
"""Another project's picker in the same run."""


def full_duplex(name: str, size: int) -> Scenario:
    """As other gateways ask."""
    ours = Member(PILOTAGE, PILOTAGE, full_duplex=True)
    others = tuple(replace(member, full_duplex=True) for member in (*_BEFORE, *_RIVAL))
    return Scenario(name, size, (*others, Member("bundled", PILOTAGE), ours), base="bundled")


SCENARIOS = (
    against_floor("2 KB, 10 endpoints", 2_000, 10, 0.75, _NO_LOG, *_ON_GRPCIO, *_BEFORE),
    against_floor("220 KB, 10 endpoints", 220_000, 10, 0.7, _NO_LOG, *_ON_GRPCIO, *_BEFORE),
    full_duplex("2 KB, full-duplex", 2_000),
    full_duplex("220 KB, full-duplex", 220_000),
    against_floor("2 KB, 1,000 endpoints", 2_000, 1000, 0.5, *_BEFORE_AMONG_MANY),
    against_floor("220 KB, 1,000 endpoints", 220_000, 1000, 0.5),
    Scenario(
        "2 KB, answer of 200 chunks",
        2_000,
        (
            Member(FLOOR, FLOOR, chunks=200),
            Member("unstreamed answer", PILOTAGE),
            Member(PILOTAGE, PILOTAGE, chunks=200),
        ),
    ),
    Scenario(
        "2 KB, TLS on the picker's port",
        2_000,
        (Member("plaintext", PILOTAGE), Member("TLS", PILOTAGE, tls=True)),
        base="plaintext",
    ),
    Scenario(
        "2 KB, ten rules on three features",
        2_000,
        (
            Member("one rule without a condition", PILOTAGE),
            Member("ten rules", PILOTAGE, ten_rules=True),
        ),
        base="one rule without a condition",
        aim=0.95,
    ),
    Scenario(
        "2 KB, 100 endpoints with a real vLLM's 52 KB page",
        2_000,
        (
            Member("10 endpoints, short pages", PILOTAGE),
            Member("100 endpoints, real pages", PILOTAGE, 100, real_page=True),
        ),
        base="10 endpoints, short pages",
        aim=0.9,
    ),
)


async def compare(scenario: Scenario, rounds: int, seconds: float) -> dict[str, Any]:
    """All members side by side, in turn A B A B: the machine's drift meets each alike."""
    count = 200 if scenario.body_bytes < 10_000 else 60
    with tempfile.TemporaryDirectory(prefix="pilotage-bodies-") as folder:
        streamed = any(member.chunks for member in scenario.members)
        write_bodies(Path(folder), scenario.body_bytes, count, stream=streamed)
        runs: dict[str, list[Measured]] = {member.label: [] for member in scenario.members}
        async with AsyncExitStack() as exits:
            stacks = {
                member.label: await exits.enter_async_context(member.stack()) for member in scenario.members
            }
            for stack in stacks.values():  # warm-up
                await run_load(stack, Path(folder), count, min(1, seconds))
            for _ in range(rounds):
                for label, stack in stacks.items():
                    runs[label].append(await run_load(stack, Path(folder), count, seconds))
            subject = scenario.members[-1].label
            interval = await stacks[subject].scrape_interval()
    base = [run.requests_per_second for run in runs[scenario.base]]
    ratios = [run.requests_per_second / one for run, one in zip(runs[subject], base, strict=True)]
    return {
        "scenario": scenario.name,
        "base": scenario.base,
        "subject": subject,
        "aim": scenario.aim,
        "scrape_interval_seconds": interval,
        "ratio": {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)},
        "runs": {label: [run.as_dict() for run in measured] for label, measured in runs.items()},
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
        "of its base",
        "p50 ms",
        "p99 ms",
        "picker CPU ms",
        "Envoy CPU ms",
    ):
        table.add_column(heading, justify="left" if heading in ("scenario", "picker") else "right")
    for result in results:
        for label, runs in result["runs"].items():
            ratio = result["ratio"]
            told = f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})"
            table.add_row(
                result["scenario"],
                label,
                *(f"{median(runs, 'requests_per_second'):.0f}", told if label == result["subject"] else ""),
                *(f"{median(runs, name):.2f}" for name in ("p50_ms", "p99_ms")),
                *(f"{median(runs, name):.3f}" for name in ("picker_cpu_ms", "envoy_cpu_ms")),
            )
    return table


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
        options.out = options.out.with_name("memory.json")
    else:
        rounds, seconds = (1, 1.0) if options.quick else (options.rounds, options.seconds)
        results = []
        for scenario in SCENARIOS:
            if options.only in scenario.name:
                results.append(await compare(scenario, rounds, seconds))
                console.print(table_of(results[-1:]))
        report["results"] = results
    if options.only and not options.long and options.out.exists():
        # a part measured again replaces that part
        known = {one["scenario"]: one for one in json.loads(options.out.read_text())["results"]}
        known |= {one["scenario"]: one for one in report["results"]}
        report["results"] = list(known.values())
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
