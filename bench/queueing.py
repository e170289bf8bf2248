"""What the picker's queue is good for, in virtual time: overload, and a quiet tenant beside a loud one.

`python -m bench.queueing` runs simulated engines (`pilotage_sim.virtual`) under the project's own waiting
line and room, and writes bench/results/queueing.json. The same seed gives the same figures; no time of the
machine is in them. Without a queue requests go to the engine with the fewest at once, as engines queue them
themselves: first come, first served.
"""

import argparse
import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any, Final

import numpy as np

from pilotage_api.queue_snapshot import QueueSnapshot
from pilotage_api.snapshot import Engine as EngineKind
from pilotage_extproc.domain.refusals import RequestRefused
from pilotage_extproc.state.endpoints import EndpointFacts, EndpointTable
from pilotage_extproc.state.engine_room import EngineRoom
from pilotage_extproc.state.fair_shares import service
from pilotage_extproc.state.inflight import Hold, InflightCounts
from pilotage_extproc.state.peer_load import PeerLoad
from pilotage_extproc.state.waiter import Waiter
from pilotage_extproc.state.waiting_line import WaitingLine
from pilotage_sim.config import SimConfig
from pilotage_sim.virtual import Arrival, Served, VirtualFleet

RESULTS: Final = Path(__file__).parent / "results" / "queueing.json"
SERVERS: Final = 4
MAX_RUNNING: Final = 32
SCRAPE_SECONDS: Final = 0.1
TARGET_SECONDS: Final = 3.0
"""An answer is good whose first token comes within this time of the client's request."""
BOUNDS: Final = QueueSnapshot(
    max_wait_seconds=2.5, max_requests=10_000, max_bytes=1 << 30, minimum_share=0.05
)
PATIENT: Final = BOUNDS.model_copy(update={"max_wait_seconds": 300.0})
POOLS: Final = frozenset({"default/bench"})
PROMPT_BYTES, OUTPUT_TOKENS = 4_000, 160


@dataclass
class Asked:
    """A request, and what became of it."""

    at_seconds: float
    tenant: str
    prompt: bytes
    max_tokens: int
    served: Served | None = None
    refused: bool = False
    hold: Hold | None = None

    @property
    def ttft_seconds(self) -> float | None:
        """From the client's request to the first token; None where there was none."""
        return None if self.served is None else self.served.first_token_at - self.at_seconds


@dataclass
class Gateway:
    """One picker before a fleet, with a queue or without."""

    queue_depth: int | None
    """None has no queue."""
    bounds: QueueSnapshot = BOUNDS
    max_running: int = MAX_RUNNING
    now: float = 0.0
    fleet: VirtualFleet = field(init=False)
    table: EndpointTable = field(init=False)
    turns: list[tuple[Waiter, Asked]] = field(default_factory=list)
    waiting: dict[int, Waiter] = field(default_factory=dict)
    open: dict[int, Asked] = field(default_factory=dict)
    longest_engine_queue: int = 0

    def __post_init__(self) -> None:
        self.fleet = VirtualFleet(
            SERVERS, SimConfig(("m",), max_running=self.max_running, prefix_caching=False)
        )
        self.table = EndpointTable()
        facts = EndpointFacts(EngineKind.VLLM, tuple(POOLS))
        self.table.sync({f"10.0.0.{number}:80": facts for number in range(SERVERS)})
        self.rows = np.array([self.table.row_of(f"10.0.0.{number}:80") for number in range(SERVERS)])
        self.inflight = InflightCounts(self.table)
        self.room = EngineRoom(self.table, PeerLoad(self.table, lambda: self.now))
        self.line = WaitingLine(self._free, lambda: self.now)

    def run(self, asked: list[Asked]) -> None:
        """Serve all to their end."""
        scrape_at = 0.0
        pending = sorted(asked, key=lambda one: one.at_seconds, reverse=True)
        while pending or self.open or self.waiting:
            arrival = pending[-1].at_seconds if pending else float("inf")
            self.now = min(arrival, scrape_at, self.fleet.next_end())
            self.fleet.advance(self.now, self._finished)
            if self.now == scrape_at:
                self._scrape()
                scrape_at += SCRAPE_SECONDS
            while pending and pending[-1].at_seconds <= self.now:
                self._arrive(pending.pop())
            self._take_turns()

    def _arrive(self, one: Asked) -> None:
        if self.queue_depth is None:
            self._send(one, int(np.argmin(self.table.inflight[self.rows])))
            return

        def tell(refused: RequestRefused | None) -> None:
            if refused is None:
                self.turns.append((waiter, one))
            else:
                one.refused = True
                del self.waiting[id(waiter)]

        waiter = Waiter(
            policy="default/p",
            bounds=self.bounds,
            pools=POOLS,
            tenant=one.tenant,
            weight=1.0,
            priority=0,
            body_bytes=len(one.prompt),
            cost=service(len(one.prompt) / 4, one.max_tokens),
            since=self.now,
            deadline=None,
            tell=tell,
        )
        self.waiting[id(waiter)] = waiter
        self.line.join(waiter)

    def _take_turns(self) -> None:
        while self.turns:
            waiter, one = self.turns.pop(0)
            free = self.room.free(self.rows, float(self.queue_depth or 0))
            server = int(np.argmax(free))
            if free[server] < 1:
                self.line.returned(waiter)
                continue
            del self.waiting[id(waiter)]
            self._send(one, server)
            self.line.went(waiter)

    def _send(self, one: Asked, server: int) -> None:
        row = int(self.rows[server])
        one.hold = self.inflight.begin(str(id(one)), row, self.now)
        one.served = self.fleet.submit(server, Arrival(self.now, one.prompt, one.max_tokens))
        self.open[id(one.served)] = one

    def _finished(self, served: Served) -> None:
        one = self.open.pop(id(served))
        if one.hold is not None:
            self.inflight.end(one.hold)
        self.line.room_changed()

    def _free(self, _pools: frozenset[str]) -> float:
        free = self.room.free(self.rows, float(self.queue_depth or 0))
        return float(np.floor(free).clip(min=0.0).sum())

    def _scrape(self) -> None:
        for server, row in enumerate(self.rows.tolist()):
            engine = self.fleet.engine_at(server, self.now)
            running, waiting = len(engine.running), len(engine.waiting)
            self.longest_engine_queue = max(self.longest_engine_queue, waiting)
            self.table.running[row], self.table.waiting[row] = running, waiting
            self.table.scraped_at[row] = self.now
            self.inflight.scraped(row, self.now, idle=not running and not waiting)
            self.room.scraped(row)
        for waiter in list(self.waiting.values()):
            if self.now - waiter.since >= waiter.bounds.max_wait_seconds:
                self.line.expire(waiter)
        self.line.room_changed()


def arrivals(rate: float, seconds: float, seed: int, tenant: str = "t") -> list[Asked]:
    """Requests at random times, `rate` a second, of various lengths."""
    draw = random.Random(f"{seed}-{tenant}")
    found, now = [], 0.0
    while (now := now + draw.expovariate(rate)) < seconds:
        prompt = draw.randbytes(int(PROMPT_BYTES * draw.uniform(0.5, 1.5)))
        found.append(Asked(now, tenant, prompt, int(OUTPUT_TOKENS * draw.uniform(0.5, 1.5))))
    return found


def capacity(seed: int, max_running: int = MAX_RUNNING) -> float:
    """Requests a second that the fleet finishes while it always has more to do."""
    gateway, count = Gateway(None, max_running=max_running), 1500
    asked = arrivals(10_000.0, count / 10_000.0, seed)
    gateway.run(asked)
    ends = sorted(one.served.finished_at for one in asked if one.served is not None)
    middle = ends[len(ends) // 4 : 3 * len(ends) // 4]
    return (len(middle) - 1) / (middle[-1] - middle[0])


def p90(values: list[float]) -> float:
    """The ninth decile."""
    return round(quantiles(values, n=10)[-1], 3)


def overload(rate: float, seconds: float, seed: int, queue_depth: int | None) -> dict[str, Any]:
    """Goodput and times of one run."""
    gateway, asked = Gateway(queue_depth), arrivals(rate, seconds, seed)
    gateway.run(asked)
    first = [one.ttft_seconds for one in asked if one.ttft_seconds is not None]
    good = sum(ttft <= TARGET_SECONDS for ttft in first)
    return {
        "asked_per_second": round(len(asked) / seconds, 2),
        "good_per_second": round(good / seconds, 2),
        "good_share": round(good / len(asked), 3),
        "refused": sum(one.refused for one in asked),
        "ttft_p90_seconds": p90(first),
        "longest_engine_queue": gateway.longest_engine_queue,
    }


def quiet(rates: dict[str, float], seconds: float, seed: int, queue_depth: int | None) -> dict[str, Any]:
    """Times to the first token of the tenant `quiet`, among these."""
    gateway = Gateway(queue_depth, PATIENT)
    asked = [one for tenant, rate in rates.items() for one in arrivals(rate, seconds, seed, tenant)]
    gateway.run(asked)
    first = [one.ttft_seconds for one in asked if one.tenant == "quiet" and one.ttft_seconds is not None]
    return {"requests": len(first), "ttft_p90_seconds": p90(first)}


def main() -> None:
    """Run all and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    most = capacity(given.seed)
    rate = 1.5 * most
    of_quiet = {"quiet": 0.1 * most}
    both = {**of_quiet, "loud": 1.4 * most}
    results = {
        "servers": SERVERS,
        "max_running": MAX_RUNNING,
        "capacity_per_second": round(most, 2),
        "target_ttft_seconds": TARGET_SECONDS,
        "max_wait_seconds": BOUNDS.max_wait_seconds,
        "at_1.5_times_capacity": {
            "no_queue": overload(rate, given.seconds, given.seed, None),
            "queue": overload(rate, given.seconds, given.seed, 1),
        },
        "quiet_tenant": {
            "alone": quiet(of_quiet, given.seconds, given.seed, 1),
            "beside_a_loud_one": quiet(both, given.seconds, given.seed, 1),
            "first_come_first_served": quiet(both, given.seconds, given.seed, None),
        },
    }
    text = json.dumps(results, indent=2) + "\n"
    given.out.write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
