"""Compare placements on simulated fleets: tables, JSON, plots, and a section of docs/benchmarks.md.

python -m bench.placement [--parts 8,64,512,sweep,realtime] [--all] [--only|skip NAME] [--docs|--render]
"""

import argparse
import asyncio
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.placement import aims, documents, results, tables
from bench.placement.constants import FLEETS, SEEDS, SWEEPS, scrape_interval_seconds
from bench.placement.realtime import table as realtime_table
from bench.placement.realtime.run import run_realtime, time_scale_of
from bench.placement.suite import BALANCERS, COMPARED, Spec, fleet_specs, run_all, sweep_specs
from bench.placement.workloads import WORKLOADS

PARTS = (*map(str, FLEETS), "sweep", "realtime")
_DEFAULT_PARTS = "8,sweep"


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", default=_DEFAULT_PARTS, help=f"of {', '.join(PARTS)}")
    parser.add_argument("--all", action="store_true", help="all parts; over an hour, most of it real time")
    parser.add_argument("--only", default="", help="workloads whose name holds this")
    parser.add_argument("--skip", default="", help="workloads whose name holds this are left out")
    parser.add_argument("--balancers", default=",".join(COMPARED), help=f"of {', '.join(BALANCERS)}")
    parser.add_argument("--seeds", type=int, default=0, help="at most so many; 0 is each part's own number")
    parser.add_argument("--time-scale", type=float, default=0.0, help="real time; 0 is each workload's own")
    parser.add_argument("--jobs", type=int, default=1, help="processes for runs in virtual time")
    parser.add_argument("--out", type=Path, default=results.FOLDER, help="folder of the JSON")
    parser.add_argument("--keep", action="store_true", help="runs that are not chosen stay in the JSON")
    parser.add_argument("--docs", action="store_true", help="then renew docs/benchmarks.md and its plots")
    parser.add_argument("--render", action="store_true", help="only that, from the JSON there is")
    return parser


def chosen(options: argparse.Namespace) -> list[str]:
    """The workloads to run."""
    skipped = {name for name in WORKLOADS if options.skip and options.skip in name}
    return [name for name in WORKLOADS if options.only in name and name not in skipped]


def virtual_part(part: str, options: argparse.Namespace, console: Console) -> None:
    """One fleet, or the sweep of loads."""
    workloads = chosen(options)
    balancers = options.balancers.split(",")
    seeds = options.seeds or len(SEEDS)
    specs: list[Spec]
    if part == "sweep":
        specs = sweep_specs(workloads, balancers, seeds)
    else:
        specs = fleet_specs(int(part), workloads, balancers, seeds)
    began = time.monotonic()
    rows = []
    for spec, row in zip(specs, run_all(specs, options.jobs), strict=True):
        rows.append(row)
        told = f"{spec.workload} {spec.balancer} load {spec.load:g} seed {spec.seed}"
        console.print(f"[dim]{time.monotonic() - began:5.0f} s  {len(rows)}/{len(specs)}  {told}[/dim]")
    if not rows:
        return
    if part == "sweep":
        for name in SWEEPS:
            for load in SWEEPS[name]:
                found = results.pick(rows, workload=name, load=load)
                if found:
                    console.print(tables.terminal(found, f"load {load:g}"))
    else:
        show(rows, f"{part} servers, virtual time", console)
    console.print(f"scraped every {scrape_interval_seconds(8 if part == 'sweep' else int(part)):g} s")
    console.print(f"written to {results.write(part, rows, options.out, keep=options.keep)}")


def show(rows: results.Rows, title: str, console: Console) -> None:
    """The table and the aims."""
    console.print(tables.terminal(rows, title))
    for aim in aims.check(rows):
        mark = "[green]reached[/green]" if aim.reached else "[red]not reached[/red]"
        console.print(f"{mark}  {aim.text}: {aim.found}")


async def realtime_part(options: argparse.Namespace, console: Console) -> None:
    """Real servers behind a real Envoy."""
    servers = min(FLEETS)
    rows: list[dict[str, Any]] = []
    for name in chosen(options):
        workload = WORKLOADS[name]
        scale = options.time_scale or time_scale_of(workload, servers)
        for seed in SEEDS[: options.seeds or 1]:
            for balancer in options.balancers.split(","):
                again = BALANCERS[balancer](servers, seed)
                row = await run_realtime(
                    workload, balancer, again, servers=servers, seed=seed, time_scale=scale
                )
                rows.append(row)
                console.print(realtime_table.terminal(rows[-1:]))
    show(rows, f"{servers} servers, real time", console)
    console.print(realtime_table.terminal(rows))
    busy = [row for row in rows if row["too_busy"]]
    if busy:
        console.print(
            f"[red]{len(busy)} runs used too much of the machine: their timing is not to be used[/red]"
        )
    console.print(f"written to {results.write('realtime', rows, options.out, keep=options.keep)}")


def main() -> None:
    options = arguments().parse_args()
    console = Console(width=190)
    parts = PARTS if options.all else tuple(options.parts.split(","))
    unknown = set(parts) - set(PARTS)
    if unknown:
        raise SystemExit(f"--parts {', '.join(unknown)}: not known; known: {', '.join(PARTS)}")
    for part in () if options.render else parts:
        if part == "realtime":
            asyncio.run(realtime_part(options, console))
        else:
            virtual_part(part, options, console)
    if options.docs or options.render:
        for path in documents.write():
            console.print(f"written to {path}")


if __name__ == "__main__":
    main()
