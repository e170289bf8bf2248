"""What a run is judged by, and the spread of several runs."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from bench.placement.constants import TPOT_TARGET_SECONDS, TTFT_TARGET_SECONDS
from pilotage_sim.virtual import Served


@dataclass(frozen=True, slots=True)
class Measures:
    """One run's figures; times in milliseconds."""

    requests: int
    ttft_mean_ms: float
    ttft_p50_ms: float
    ttft_p90_ms: float
    ttft_p95_ms: float
    ttft_p99_ms: float
    tpot_mean_ms: float
    tpot_p50_ms: float
    tpot_p90_ms: float
    tpot_p99_ms: float
    goodput_per_second: float
    """Requests a second that met both targets."""
    good_share: float
    """Of all requests."""
    hit_rate: float
    """Prompt tokens found in a prefix cache, of all prompt tokens."""
    imbalance: float
    """Requests present at the busiest server, over the mean of all servers; 1 is even. Time-weighted."""

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def quantile(ordered: Sequence[float], share: float) -> float:
    """Of values in order, by nearest rank: the smallest that so many are not above."""
    if not ordered:
        return 0.0
    rank = -(-len(ordered) * share // 1)
    return ordered[min(len(ordered), max(1, int(rank))) - 1]


def measures_of(measured: Sequence[Served], servers: int, seconds: float) -> Measures:
    """The figures of requests that arrived within so many seconds."""
    ttft = sorted(1000 * one.ttft_seconds for one in measured)
    tpot = sorted(1000 * one.tpot_seconds for one in measured if one.tokens > 1)
    good = sum(
        one.ttft_seconds <= TTFT_TARGET_SECONDS and one.tpot_seconds <= TPOT_TARGET_SECONDS
        for one in measured
    )
    present = [0.0] * servers
    for one in measured:
        present[one.server] += one.finished_at - one.at_seconds
    prompt_tokens = sum(one.prompt_tokens for one in measured)
    return Measures(
        requests=len(measured),
        ttft_mean_ms=statistics.fmean(ttft) if ttft else 0.0,
        ttft_p50_ms=quantile(ttft, 0.5),
        ttft_p90_ms=quantile(ttft, 0.9),
        ttft_p95_ms=quantile(ttft, 0.95),
        ttft_p99_ms=quantile(ttft, 0.99),
        tpot_mean_ms=statistics.fmean(tpot) if tpot else 0.0,
        tpot_p50_ms=quantile(tpot, 0.5),
        tpot_p90_ms=quantile(tpot, 0.9),
        tpot_p99_ms=quantile(tpot, 0.99),
        goodput_per_second=good / seconds,
        good_share=good / len(measured) if measured else 0.0,
        hit_rate=sum(one.cached_tokens for one in measured) / prompt_tokens if prompt_tokens else 0.0,
        imbalance=max(present) / (sum(present) / servers) if sum(present) else 1.0,
    )


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over the seeds."""

    mean: float
    least: float
    most: float

    @property
    def width(self) -> float:
        """From the least seed to the most."""
        return self.most - self.least


def spread(runs: Sequence[Mapping[str, float]], name: str) -> Spread:
    """Of one figure over runs."""
    values = [run[name] for run in runs]
    return Spread(statistics.fmean(values), min(values), max(values))
