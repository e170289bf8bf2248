"""One run in virtual time: a workload, a fleet, a balancer."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from bench.placement.balancers import Balancer
from bench.placement.constants import MODEL, PRESET
from bench.placement.requests import Request
from bench.placement.workloads import Workload
from pilotage_sim.config import SimConfig
from pilotage_sim.virtual import Arrival, Served, VirtualFleet


@dataclass(frozen=True, slots=True)
class Run:
    """What was served, in order of arrival."""

    servers: int
    warmup_seconds: float
    served: list[Served]

    def measured(self) -> list[Served]:
        """Requests that came after the warm-up."""
        return [one for one in self.served if one.at_seconds >= self.warmup_seconds]


def run_virtual(
    workload: Workload, balancer: Balancer, *, servers: int, seed: int, measure_seconds: float
) -> Run:
    """Serve a workload's requests to their end. The same arguments give the same run."""
    requests = workload.requests(servers, seed, workload.warmup_seconds + measure_seconds)
    return Run(servers, workload.warmup_seconds, serve(workload, balancer, requests, servers))


def serve(
    workload: Workload,
    balancer: Balancer,
    requests: Iterable[Request],
    servers: int,
    *,
    prefix_caching: bool = True,
) -> list[Served]:
    """Serve requests on a workload's fleet; what became of them in order of arrival."""
    config = SimConfig((MODEL,), preset=PRESET, prefix_caching=prefix_caching)
    fleet = VirtualFleet(servers, config, workload.slow(servers))
    served: list[Served] = []
    numbers: dict[int, int] = {}

    def finished(one: Served) -> None:
        balancer.finished(numbers.pop(id(one)), one.server, one.finished_at)

    def advance(until: float) -> None:
        """Let time pass, waking the balancer when it asked to be."""
        while True:
            # one end at a time: it may bring the balancer's waking forward
            now = min(balancer.next_wake(), fleet.next_end(), until)
            fleet.advance(now, finished)
            if balancer.next_wake() <= now:
                balancer.wake(now, partial(fleet.engine_at, now=now))
            elif now == until:
                return

    for request in requests:
        now = request.at_seconds
        advance(now)
        prompt = request.prompt()
        server = balancer.place(request, prompt, now)
        one = fleet.submit(server, Arrival(now, prompt, request.max_tokens, request.adapter))
        numbers[id(one)] = request.number
        served.append(one)
    # what is under way is placed: its end needs no more scrapes
    fleet.advance(float("inf"), finished)
    return served
