"""One run in virtual time: a workload, a fleet, a balancer."""

from dataclasses import dataclass

from bench.placement.balancers import Balancer
from bench.placement.constants import MODEL, PRESET
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
    fleet = VirtualFleet(servers, SimConfig((MODEL,), preset=PRESET), workload.slow(servers))
    served: list[Served] = []
    numbers: dict[int, int] = {}

    def finished(one: Served) -> None:
        balancer.finished(numbers.pop(id(one)), one.server, one.finished_at)

    def advance(until: float) -> None:
        """Let time pass, waking the balancer when it asked to be."""
        while True:
            now = min(balancer.next_wake(), until)
            fleet.advance(now, finished)
            if balancer.next_wake() > now:  # asked again: an end may have brought it forward
                return
            balancer.wake(now, lambda server, at=now: fleet.engine_at(server, at))  # type: ignore[misc]

    for request in workload.requests(servers, seed, workload.warmup_seconds + measure_seconds):
        advance(request.at_seconds)
        prompt = request.prompt()
        server = balancer.place(request, prompt, request.at_seconds)
        one = fleet.submit(server, Arrival(request.at_seconds, prompt, request.max_tokens, request.adapter))
        numbers[id(one)] = request.number
        served.append(one)
    # what is under way is placed: its end needs no more scrapes
    fleet.advance(float("inf"), finished)
    return Run(servers, workload.warmup_seconds, served)
