"""Results as tables: for the terminal and for the documents, with the same cells."""

from collections.abc import Sequence

from rich.table import Table

from bench.placement.measures import spread
from bench.placement.results import Rows, distinct, pick

FIGURES = (
    ("TTFT mean", "ttft_mean_ms", 0),
    ("p50", "ttft_p50_ms", 0),
    ("p90", "ttft_p90_ms", 0),
    ("p95", "ttft_p95_ms", 0),
    ("p99", "ttft_p99_ms", 0),
    ("TPOT p50", "tpot_p50_ms", 1),
    ("p90", "tpot_p90_ms", 1),
    ("p99", "tpot_p99_ms", 1),
    ("good/s", "goodput_per_second", 1),
    ("good", "good_share", 2),
    ("hit rate", "hit_rate", 2),
    ("imbalance", "imbalance", 2),
)
_WITH_RANGE = ("ttft_mean_ms", "ttft_p99_ms", "good_share", "hit_rate")
HEADINGS = ("workload", "balancer", *(title for title, _, _ in FIGURES))


def cells(rows: Rows) -> list[list[str]]:
    """One line a workload and balancer: means over the seeds, some with their least and most."""
    lines = []
    for workload in distinct(rows, "workload"):
        for balancer in distinct(pick(rows, workload=workload), "balancer"):
            runs = pick(rows, workload=workload, balancer=balancer)
            lines.append([workload, balancer, *(_cell(runs, name, digits) for _, name, digits in FIGURES)])
    return lines


def _cell(runs: Rows, name: str, digits: int) -> str:
    value = spread(runs, name)
    told = f"{value.mean:,.{digits}f}"
    if name in _WITH_RANGE and len(runs) > 1:
        told += f" ({value.least:,.{digits}f}–{value.most:,.{digits}f})"
    return told


def terminal(rows: Rows, title: str) -> Table:
    """For people at a terminal."""
    table = Table(title=title)
    for index, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="left" if index < 2 else "right")
    last = ""
    for line in cells(rows):
        if last and line[0] != last:
            table.add_section()
        table.add_row(*(line if line[0] != last else ["", *line[1:]]))
        last = line[0]
    return table


def markdown(headings: Sequence[str], lines: Sequence[Sequence[str]], *, left: int = 2) -> str:
    """A table for a document; the first columns to the left, figures to the right."""
    marks = ["---" if index < left else "---:" for index in range(len(headings))]
    return "\n".join("| " + " | ".join(line) + " |" for line in (headings, marks, *lines))
