"""Real-time runs as tables."""

from rich.table import Table

from bench.placement.measures import spread
from bench.placement.realtime.cpu import MOST_BUSY
from bench.placement.results import Rows, distinct, pick
from bench.placement.tables import HEADINGS, cells, markdown
from bench.placement.workloads import WORKLOADS

TIMING_HEADINGS = (
    "workload",
    "balancer",
    "time scale",
    "machine CPU",
    "of the run",
    "failed",
    "TTFT mean",
    "same placement, virtual",
    "median error",
    "p95 of error",
    "TPOT error",
    "own placement, virtual",
)


def timing_cells(rows: Rows) -> list[list[str]]:
    """One line a workload and balancer: how far real time is from virtual time."""
    lines = []
    for workload in distinct(rows, "workload"):
        for balancer in distinct(pick(rows, workload=workload), "balancer"):
            runs = pick(rows, workload=workload, balancer=balancer)
            errors = [run["error"] for run in runs]
            busiest = max(run["cpu_share"] or 0.0 for run in runs)
            flag = " too busy" if any(run["too_busy"] for run in runs) else ""
            lines.append(
                [
                    workload,
                    balancer,
                    f"{max(run['time_scale'] for run in runs):g}",
                    f"{busiest:.0%}{flag}",
                    f"{max(run['own_cpu_share'] for run in runs):.0%}",
                    str(sum(run["failed"] for run in runs)),
                    f"{spread(runs, 'ttft_mean_ms').mean:.0f}",
                    f"{spread(errors, 'ttft_mean_share').mean:+.1%}",
                    f"{spread(errors, 'ttft_median_ms').mean:+.1f}",
                    f"{spread(errors, 'ttft_p95_ms').mean:.1f}",
                    f"{spread(errors, 'tpot_mean_share').mean:+.1%}",
                    f"{spread([run['virtual'] for run in runs], 'ttft_mean_ms').mean:.0f}",
                ]
            )
    return lines


def terminal(rows: Rows) -> Table:
    """For people at a terminal."""
    table = Table(title="real time against virtual time (ms of simulated time)")
    for index, heading in enumerate(TIMING_HEADINGS):
        table.add_column(heading, justify="left" if index < 2 else "right")
    for line in timing_cells(rows):
        table.add_row(*line)
    return table


def realtime_section(rows: Rows) -> str:
    """For the document."""
    seeds = len(distinct(rows, "seed"))
    told = f"{seeds} seeds" if seeds > 1 else "1 seed"
    missing = ", ".join(name for name in WORKLOADS if name not in distinct(rows, "workload"))
    left_out = f" Not run in real time: {missing}." if missing else ""
    return "\n\n".join(
        [
            "### 8 servers, real time, behind Envoy",
            f"The same servers over HTTP behind a real Envoy with one worker, its own ROUND_ROBIN and\n"
            f"LEAST_REQUEST against Pilotage's picker; {told}. A simulated second takes `time scale` real\n"
            f"ones, so that the machine keeps up; a run that used more than {MOST_BUSY:.0%} of the\n"
            f"machine's CPU is marked.{left_out}",
            markdown(HEADINGS, cells(rows)),
            "How far that is from virtual time, in simulated milliseconds: `same placement` serves the same\n"
            "requests at the same servers in virtual time, so that timing alone differs; `own placement` is\n"
            "the balancer's whole run in virtual time.",
            markdown(TIMING_HEADINGS, timing_cells(rows)),
        ]
    )
