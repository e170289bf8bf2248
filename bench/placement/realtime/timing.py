"""How far real time is from the virtual-time engine, given the same requests at the same servers."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.placement.balancers import EngineAt
from bench.placement.measures import quantile
from bench.placement.requests import Request
from bench.placement.virtual import serve
from bench.placement.workloads import Workload
from pilotage_sim.virtual import Served


class Replayed:
    """Places each request where it was placed before."""

    name = "replayed"

    def __init__(self, servers: Sequence[int]) -> None:
        self._servers = servers

    def place(self, request: Request, prompt: bytes, now: float) -> int:
        del prompt, now
        return self._servers[request.number]

    def finished(self, number: int, server: int, now: float) -> None:
        pass

    def next_wake(self) -> float:
        return float("inf")

    def wake(self, now: float, engine_at: EngineAt) -> None:
        pass


@dataclass(frozen=True, slots=True)
class TimingError:
    """Real less virtual, of measured requests; simulated milliseconds."""

    ttft_median_ms: float
    ttft_p95_ms: float
    """Of the absolute difference."""
    ttft_mean_share: float
    """Of the mean TTFT: 0.05 is five per cent slower in real time."""
    tpot_mean_share: float


def timing_error(
    workload: Workload, requests: Sequence[Request], real: Sequence[Served | None], servers: int
) -> TimingError:
    """Serve the requests again in virtual time, at the servers that served them. A failed one goes to the
    first server: it is not compared, but was asked for."""
    placed = Replayed([one.server if one is not None else 0 for one in real])
    virtual = serve(workload, placed, requests, servers)
    pairs = [
        (one, other)
        for one, other in zip(real, virtual, strict=True)
        if one is not None and one.at_seconds >= workload.warmup_seconds
    ]
    ttft = [1000 * (one.ttft_seconds - other.ttft_seconds) for one, other in pairs]
    absolute = sorted(map(abs, ttft))
    tpot = [(one.tpot_seconds, other.tpot_seconds) for one, other in pairs if one.tokens > 1]
    return TimingError(
        ttft_median_ms=statistics.median(ttft),
        ttft_p95_ms=quantile(absolute, 0.95),
        ttft_mean_share=_share([(one.ttft_seconds, other.ttft_seconds) for one, other in pairs]),
        tpot_mean_share=_share(tpot),
    )


def _share(pairs: Sequence[tuple[float, float]]) -> float:
    virtual = statistics.fmean(other for _, other in pairs)
    return (statistics.fmean(one for one, _ in pairs) - virtual) / virtual
