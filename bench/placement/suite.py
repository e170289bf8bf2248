"""Which runs there are, and running them."""

import gc
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

from bench.placement.balancers import Balancer, LeastRequest, PrefixHash, RoundRobin
from bench.placement.constants import (
    FLEETS,
    MEASURE_SECONDS,
    SWEEP_MEASURE_SECONDS,
    SWEEP_SEEDS,
    SWEEPS,
    scrape_interval_seconds,
)
from bench.placement.measures import measures_of
from bench.placement.pilotage import Pilotage
from bench.placement.virtual import run_virtual
from bench.placement.workloads import WORKLOADS

BALANCERS: dict[str, Callable[[int, int], Balancer]] = {
    kind.name: kind for kind in (RoundRobin, LeastRequest, Pilotage, PrefixHash)
}
COMPARED = (RoundRobin.name, LeastRequest.name, Pilotage.name)
REFERENCES = {"hot-prefix": (PrefixHash.name,)}
"""What else runs on a workload, to show what it is about."""


@dataclass(frozen=True, slots=True)
class Spec:
    """One run in virtual time."""

    workload: str
    balancer: str
    servers: int
    seed: int
    load: float
    measure_seconds: float


def fleet_specs(servers: int, workloads: Iterable[str], balancers: Iterable[str], seeds: int) -> list[Spec]:
    """All workloads on a fleet of one size, under at most so many of its seeds."""
    wanted = tuple(balancers)
    return [
        Spec(name, balancer, servers, seed, WORKLOADS[name].load, MEASURE_SECONDS[servers])
        for name in workloads
        for balancer in (*wanted, *(one for one in REFERENCES.get(name, ()) if servers == min(FLEETS)))
        for seed in FLEETS[servers][:seeds]
    ]


def sweep_specs(workloads: Iterable[str], balancers: Iterable[str], seeds: int) -> list[Spec]:
    """Loads from idle to hopeless on the smallest fleet."""
    wanted = tuple(balancers)
    return [
        Spec(name, balancer, min(FLEETS), seed, load, SWEEP_MEASURE_SECONDS)
        for name in workloads
        for load in SWEEPS.get(name, ())
        for balancer in wanted
        for seed in SWEEP_SEEDS[:seeds]
    ]


def run_spec(spec: Spec) -> dict[str, Any]:
    """Run one; its figures with what they are of."""
    gc.disable()  # hundreds of thousands of live objects and no cycles: collecting them takes a third
    try:
        workload = WORKLOADS[spec.workload].at_load(spec.load)
        balancer = BALANCERS[spec.balancer](spec.servers, spec.seed)
        run = run_virtual(
            workload,
            balancer,
            servers=spec.servers,
            seed=spec.seed,
            measure_seconds=spec.measure_seconds,
        )
    finally:
        gc.enable()
    measures = measures_of(run.measured(), spec.servers, spec.measure_seconds)
    return {
        "workload": spec.workload,
        "balancer": spec.balancer,
        "servers": spec.servers,
        "seed": spec.seed,
        "load": spec.load,
        "scrape_interval_seconds": scrape_interval_seconds(spec.servers),
        **measures.as_dict(),
    }


def run_all(specs: list[Spec], jobs: int) -> Iterator[dict[str, Any]]:
    """All runs, in order; on several cores if told to."""
    if jobs == 1:
        yield from map(run_spec, specs)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(run_spec, specs)
