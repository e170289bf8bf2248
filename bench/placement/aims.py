"""What placement is meant to reach, and whether it does."""

from dataclasses import dataclass

from bench.placement.balancers import LeastRequest, RoundRobin
from bench.placement.measures import Spread, spread
from bench.placement.pilotage import Pilotage
from bench.placement.results import Rows, distinct, pick

LESS_TTFT = 0.35
HIT_RATE_FACTOR = 2.0
BURST_P95_FACTOR = 0.5
COMPARED_FIGURES = {
    "ttft_mean_ms": "mean TTFT",
    "ttft_p50_ms": "TTFT p50",
    "ttft_p90_ms": "TTFT p90",
    "ttft_p99_ms": "TTFT p99",
    "tpot_p50_ms": "TPOT p50",
    "tpot_p90_ms": "TPOT p90",
    "tpot_p99_ms": "TPOT p99",
    "good_share": "share of good requests",
}
"""What must not be worse than with least request; lower is better in all but the last."""


@dataclass(frozen=True, slots=True)
class Aim:
    """One aim and what came of it."""

    text: str
    reached: bool
    found: str


def check(rows: Rows) -> list[Aim]:
    """The aims for the runs of one fleet; those whose runs are missing are left out."""
    aims = []
    first, ours = _both(rows, "shared-prefix", RoundRobin.name)
    if first and ours:
        before, after = spread(first, "ttft_mean_ms"), spread(ours, "ttft_mean_ms")
        less = 1 - after.mean / before.mean
        way = "lower" if less >= 0 else "higher"
        told = f"{abs(less):.0%} {way}: {_shown(after)} ms against {_shown(before)} ms"
        text = f"shared-prefix: mean TTFT at least {LESS_TTFT:.0%} lower than round robin"
        aims.append(Aim(text, less >= LESS_TTFT, told))
        hit_before, hit_after = spread(first, "hit_rate"), spread(ours, "hit_rate")
        factor = hit_after.mean / hit_before.mean if hit_before.mean else float("inf")
        told = f"{factor:.1f} times: {hit_after.mean:.0%} against {hit_before.mean:.0%}"
        aims.append(Aim("shared-prefix: prefix hit rate doubled", factor >= HIT_RATE_FACTOR, told))
    first, ours = _both(rows, "bursts", RoundRobin.name)
    if first and ours:
        before, after = spread(first, "ttft_p95_ms"), spread(ours, "ttft_p95_ms")
        told = f"{after.mean / before.mean:.2f} of it: {_shown(after)} ms against {_shown(before)} ms"
        reached = after.mean <= BURST_P95_FACTOR * before.mean
        aims.append(Aim("bursts: half of round robin's TTFT p95", reached, told))
    worse = _worse_than_least_request(rows)
    if worse is not None:
        text = "nowhere worse than least request by more than its spread over the seeds"
        aims.append(Aim(text, not worse, "; ".join(worse) or "in no figure of any workload"))
    return aims


def _worse_than_least_request(rows: Rows) -> list[str] | None:
    worse: list[str] = []
    compared = False
    for workload in distinct(rows, "workload"):
        first, ours = _both(rows, workload, LeastRequest.name)
        if len(first) < 2 or not ours:
            continue  # one seed has no spread
        compared = True
        for name, title in COMPARED_FIGURES.items():
            before, after = spread(first, name), spread(ours, name)
            by = before.mean - after.mean if name == "good_share" else after.mean - before.mean
            if by > before.width:
                digits = 3 if name == "good_share" else 1
                worse.append(
                    f"{workload}, {title}: {after.mean:.{digits}f} against {before.mean:.{digits}f} "
                    f"(spread {before.width:.{digits}f})"
                )
    return worse if compared else None


def _both(rows: Rows, workload: str, other: str) -> tuple[Rows, Rows]:
    """The other balancer's runs and Pilotage's."""
    return (
        pick(rows, workload=workload, balancer=other),
        pick(rows, workload=workload, balancer=Pilotage.name),
    )


def _shown(value: Spread) -> str:
    return f"{value.mean:.0f} ({value.least:.0f} to {value.most:.0f})"
