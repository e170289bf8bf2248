"""One run in real time, measured like one in virtual time and held against it."""

import os
import time
from dataclasses import asdict
from typing import Any

from bench.placement.balancers import Balancer
from bench.placement.constants import SCRAPE_INTERVAL_SECONDS
from bench.placement.measures import measures_of
from bench.placement.realtime.client import send_all
from bench.placement.realtime.cpu import MOST_BUSY, MachineCpu
from bench.placement.realtime.stack import RealStack
from bench.placement.realtime.timing import timing_error
from bench.placement.virtual import serve
from bench.placement.workloads import Workload

MEASURE_SECONDS = 20.0
"""Simulated; after the workload's warm-up."""
TOKENS_PER_SECOND = 2500.0
"""Streamed through Envoy, in real seconds: what two cores do at well under MOST_BUSY."""
LEAST_TIME_SCALE = 2.0


def time_scale_of(workload: Workload, servers: int) -> float:
    """Real seconds a simulated second takes, so that the machine keeps up."""
    sample = list(workload.requests(servers, 0, workload.warmup_seconds + MEASURE_SECONDS))
    measured = [one for one in sample if one.at_seconds >= workload.warmup_seconds]
    tokens = sum(one.max_tokens for one in measured) / MEASURE_SECONDS
    return max(LEAST_TIME_SCALE, round(tokens / TOKENS_PER_SECOND, 1))


async def run_realtime(
    workload: Workload, balancer: str, again: Balancer, *, servers: int, seed: int, time_scale: float
) -> dict[str, Any]:
    """Serve a workload over HTTP behind Envoy. `again` is the balancer in virtual time."""
    seconds = workload.warmup_seconds + MEASURE_SECONDS
    requests = list(workload.requests(servers, seed, seconds))
    async with RealStack(workload, balancer, servers, time_scale) as stack:
        cpu, own, began = MachineCpu(), stack.cpu_seconds() + time.process_time(), time.monotonic()
        sent = await send_all(stack.url, stack.servers, requests, time_scale)
        share = cpu.share()
        own = stack.cpu_seconds() + time.process_time() - own
        own /= (time.monotonic() - began) * (os.cpu_count() or 1)
    kept = [one for one in sent.served if one is not None and one.at_seconds >= workload.warmup_seconds]
    virtual = serve(workload, again, requests, servers)
    measured = [one for one in virtual if one.at_seconds >= workload.warmup_seconds]
    return {
        "workload": workload.name,
        "balancer": balancer,
        "servers": servers,
        "seed": seed,
        "load": workload.load,
        "time_scale": time_scale,
        "scrape_interval_seconds": SCRAPE_INTERVAL_SECONDS,
        "failed": sum(one is None for one in sent.served),
        "cpu_share": share,
        "own_cpu_share": own,
        "too_busy": share is None or share > MOST_BUSY,
        "worst_lateness_seconds": sent.worst_lateness_seconds,
        **measures_of(kept, servers, MEASURE_SECONDS).as_dict(),
        "virtual": measures_of(measured, servers, MEASURE_SECONDS).as_dict(),
        "error": asdict(timing_error(workload, requests, sent.served, servers)),
    }
