"""Writes the placement section of docs/benchmarks.md and its plots from the results on disk."""

from pathlib import Path

from bench.placement import aims, svg
from bench.placement.constants import (
    FLEETS,
    MEASURE_SECONDS,
    SWEEPS,
    TPOT_TARGET_SECONDS,
    TTFT_TARGET_SECONDS,
    scrape_interval_seconds,
)
from bench.placement.measures import spread
from bench.placement.realtime.table import realtime_section
from bench.placement.results import Rows, distinct, pick, read
from bench.placement.tables import HEADINGS, cells, markdown
from bench.placement.workloads import WORKLOADS

DOCS = Path(__file__).parents[2] / "docs"
BEGIN, END = "<!-- placement: begin -->", "<!-- placement: end -->"
_ABOUT = f"""\
## Placement

Simulated vLLM servers (one H100 and Llama 3.1 8B each, see [the simulator](simulator.md)) under
open-loop traffic, with Envoy's round robin, Envoy's least request (two choices, its default) and
Pilotage with default settings. `load` is the share of the fleet's capacity the requests would take if
nothing were cached and 32 decoded together. All is made by `python -m bench.placement --all --docs`;
constants, workloads and seeds stand in `bench/placement` and were set before any scheduler was tuned.

TTFT and TPOT are in milliseconds, means over the seeds, the least and the most seed in brackets. *Good*
is a request whose TTFT is at most {TTFT_TARGET_SECONDS:g} s and whose TPOT is at most {
    1000
    * TPOT_TARGET_SECONDS:g} ms. *Hit rate* is the share of prompt tokens found in a prefix cache. *Imbalance*
is the time-weighted mean of requests at the busiest server over that of all: 1 is even, and with a slow
server even is not best. `prefix-hash` sends each prefix to one server whatever the load: a reference
that shows where affinity hurts.
"""


def write(docs: Path = DOCS) -> list[Path]:
    """Replace the section, or add it; the files written."""
    images = docs / "images"
    images.mkdir(parents=True, exist_ok=True)
    written = []
    parts = [_ABOUT, _workloads()]
    for servers in FLEETS:
        rows = read(str(servers))
        if rows:
            image = images / f"placement-{servers}.svg"
            image.write_text(_bars(rows, servers))
            written.append(image)
            parts.append(_fleet(rows, servers, image.name))
    sweep = read("sweep")
    for workload in distinct(sweep, "workload"):
        image = images / f"placement-load-{workload}.svg"
        image.write_text(_lines(sweep, workload))
        written.append(image)
    if sweep:
        parts.append(_sweep(sweep))
    realtime = read("realtime")
    if realtime:
        parts.append(realtime_section(realtime))
    path = docs / "benchmarks.md"
    text = path.read_text() if path.exists() else "# Benchmarks\n"
    path.write_text(replaced(text, "\n\n".join(part.strip() for part in parts)))
    return [path, *written]


def replaced(text: str, section: str) -> str:
    """A document with the marked section renewed, or added at its end."""
    marked = f"{BEGIN}\n{section}\n{END}"
    before, begin, rest = text.partition(BEGIN)
    if not begin:
        return f"{text.rstrip()}\n\n{marked}\n"
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"the document has {BEGIN} without {END}")
    return before + marked + after


def _workloads() -> str:
    lines = [
        [one.name, one.about, f"{one.load:g}", f"{one.starts_per_second(min(FLEETS)):.1f}"]
        for one in WORKLOADS.values()
    ]
    headings = ("workload", "what comes", "load", "starts/s on 8 servers")
    return markdown(headings, lines) + "\n\nA start is a request, or of `sessions` a conversation."


def _fleet(rows: Rows, servers: int, image: str) -> str:
    seeds = len(distinct(rows, "seed"))
    interval = scrape_interval_seconds(servers)
    told = f"{seeds} seeds" if seeds > 1 else "1 seed"
    parts = [
        f"### {servers} servers, virtual time",
        f"{told}, {MEASURE_SECONDS[servers]:g} s measured after the warm-up, scraped every {interval:g} s.",
        f"![mean TTFT by workload](images/{image})",
        markdown(HEADINGS, cells(rows)),
        markdown(
            ("aim", "reached", "found"),
            [[one.text, "yes" if one.reached else "**no**", one.found] for one in aims.check(rows)],
        ),
    ]
    return "\n\n".join(parts)


def _bars(rows: Rows, servers: int) -> str:
    groups = []
    for workload in distinct(rows, "workload"):
        members = []
        for balancer in distinct(pick(rows, workload=workload), "balancer"):
            value = spread(pick(rows, workload=workload, balancer=balancer), "ttft_mean_ms")
            members.append((balancer, svg.Point(0, value.mean, value.least, value.most)))
        groups.append((workload, members))
    return svg.bars(f"Mean time to first token, {servers} servers", "milliseconds", groups)


def _sweep(rows: Rows) -> str:
    parts = ["### Load", f"8 servers, {len(distinct(rows, 'seed'))} seeds; mean TTFT in milliseconds."]
    for workload in distinct(rows, "workload"):
        of = pick(rows, workload=workload)
        balancers = distinct(of, "balancer")
        lines = []
        for load in SWEEPS[workload]:
            found = [
                spread(pick(of, balancer=one, load=load), "ttft_mean_ms")
                for one in balancers
                if pick(of, balancer=one, load=load)
            ]
            lines.append(
                [f"{load:g}", *(f"{one.mean:,.0f} ({one.least:,.0f}–{one.most:,.0f})" for one in found)]
            )
        parts.append(f"![{workload}: mean TTFT by load](images/placement-load-{workload}.svg)")
        parts.append(markdown((f"{workload}: load", *balancers), lines, left=1))
    return "\n\n".join(parts)


def _lines(rows: Rows, workload: str) -> str:
    of = pick(rows, workload=workload)
    series = []
    for balancer in distinct(of, "balancer"):
        points = []
        for load in distinct(of, "load"):
            value = spread(pick(of, balancer=balancer, load=load), "ttft_mean_ms")
            points.append(svg.Point(load, value.mean, value.least, value.most))
        series.append((balancer, points))
    return svg.lines(f"{workload}: mean time to first token, 8 servers", "milliseconds", "load", series)
