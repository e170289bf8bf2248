"""How fair the queue is between tenants, and how well it bounds engines, with several pickers.

`python -m bench.queue_pickers` runs 1, 2 and 4 pickers (their lines, rooms and what they tell each other are
the project's own; news arrive after `DELIVERY_SECONDS`) before simulated engines in virtual time, and writes
bench/results/queue-pickers.json. Two tenants always have requests waiting: at all pickers (`everywhere`), or
one of them at one picker alone (`at_one`). The figure is the greatest difference between the service that
the two were given in any stretch of time after the first `WARM_SECONDS`, in requests of mean size.
"""

import argparse
import asyncio
import heapq
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_texts
from pilotage_api.queue_snapshot import QueueSnapshot
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.domain.refusals import RequestRefused
from pilotage_extproc.scheduling.profile import ProfileBook
from pilotage_extproc.server.deciding import new_deciding
from pilotage_extproc.server.load_sharing import INTERVAL_SECONDS, LoadSharing
from pilotage_extproc.server.state import new_state
from pilotage_extproc.settlement.news import LoadNews, News, decode_news, encode_news
from pilotage_extproc.settlement.peers import Peers
from pilotage_extproc.sources.discovery import Discovery
from pilotage_extproc.state.endpoints import EndpointTable
from pilotage_extproc.state.fair_shares import service
from pilotage_extproc.state.health import HealthLedger
from pilotage_extproc.state.inflight import Hold
from pilotage_extproc.state.waiter import Waiter
from pilotage_extproc.state.waiting_line import Served as Charged
from pilotage_sim.config import SimConfig
from pilotage_sim.virtual import Arrival, Served, VirtualFleet

RESULTS: Final = Path(__file__).parent / "results" / "queue-pickers.json"
SERVERS: Final = 4
MAX_RUNNING: Final = 16
SCRAPE_SECONDS: Final = 0.1
DELIVERY_SECONDS: Final = 0.01
WARM_SECONDS: Final = 10.0
BACKLOG: Final = 20
"""Requests of a tenant that always wait at a picker where it has any."""
PROMPT_BYTES, OUTPUT_TOKENS = 4_000, 160
POOLS: Final = frozenset({"default/bench"})
BOUNDS: Final = QueueSnapshot(
    max_wait_seconds=1e9, max_requests=10_000, max_bytes=1 << 30, minimum_share=0.05
)
POOL: Final = """
apiVersion: pilotage.dev/v1alpha1
kind: ModelPool
metadata: {name: bench}
spec:
  engine: vllm
  endpoints: [%s]
  models: [{name: m}]
  admission: {queueDepth: 1}
"""


@dataclass
class Asked:
    """A request of a tenant that waits or runs."""

    tenant: str
    tokens: int
    output: int
    hold: Hold | None = None
    charged: Charged | None = None

    @property
    def service(self) -> float:
        """What it takes."""
        return service(self.tokens, self.output)


@dataclass
class Mail:
    """Stands for the peers of one picker: what it tells arrives at the others a little later."""

    deliver: Callable[[bytes], None]

    def tell(self, news: News) -> None:
        """To all others."""
        self.deliver(encode_news([news]))


class Picker:
    """The line and room of one process, and engines as it sees them."""

    def __init__(self, bench: "Bench", number: int, pickers: int) -> None:
        self.bench = bench
        self.name = f"p{number}"
        self.phase = number * SCRAPE_SECONDS / pickers
        settings, table = GatewaySettings(), EndpointTable()
        self.table = table
        clock = bench.clock
        self.state = new_state(settings, table, HealthLedger(table), clock=clock)
        self.deciding = new_deciding(settings, self.state, ProfileBook(), process_id=self.name, clock=clock)
        self.line, self.room = self.deciding.line, self.deciding.room
        self.state.peer_load.meet(lambda: pickers)
        mail = Mail(lambda data: bench.post(self, data))
        self.sharing = LoadSharing(
            self.name, table, self.state.peer_load, self.line, self.room, cast(Peers, mail)
        )
        self.turns: list[tuple[Waiter, Asked]] = []

    async def start(self) -> None:
        """Follow the resources."""
        ends = ", ".join(f"{{address: 10.0.0.{number + 1}, port: 80}}" for number in range(SERVERS))
        snapshot = compile_resources(load_texts([("a.yaml", POOL % ends)]), GatewaySettings()).snapshot
        discovery = Discovery(lambda: None)
        await discovery.follow(snapshot)
        self.table.sync(discovery.wanted())
        self.table.admit(self.table.rows())
        index = await self.deciding.builder.build(snapshot, discovery.membership())
        self.deciding.current.install(index)
        await discovery.stop()
        rows = [self.table.row_of(f"10.0.0.{number + 1}:80") for number in range(SERVERS)]
        self.rows = [row for row in rows if row is not None]

    def join(self, one: Asked) -> None:
        """It waits here."""

        def tell(refused: RequestRefused | None) -> None:
            if refused is None:
                self.turns.append((waiter, one))

        waiter = Waiter(
            policy="default/p",
            bounds=BOUNDS,
            pools=POOLS,
            tenant=one.tenant,
            weight=1.0,
            priority=0,
            body_bytes=4 * one.tokens,
            cost=one.service,
            since=self.bench.now,
            deadline=None,
            tell=tell,
        )
        self.line.join(waiter)

    def take_turns(self) -> None:
        """As far as there is room."""
        while self.turns:
            waiter, one = self.turns.pop(0)
            row = max(self.rows, key=lambda row: -self.table.inflight[row] - self.table.running[row])
            fit = [row for row in self.rows if self.room.at(row, "default/bench")]
            if not fit:
                self.line.returned(waiter)
                continue
            if row not in fit:
                row = fit[0]
            one.charged = self.line.went(waiter)
            one.hold = self.state.learner.inflight.begin(str(id(one)), row, self.bench.now)
            self.bench.send(self, self.rows.index(row), one)

    def ended(self, one: Asked) -> None:
        """Its answer is over."""
        if one.hold is not None:
            self.state.learner.inflight.end(one.hold)
        if one.charged is not None:
            self.line.settle(one.charged, one.service)
        self.line.room_changed()

    def scrape(self) -> None:
        """Read all engines."""
        for server, row in enumerate(self.rows):
            engine = self.bench.fleet.engine_at(server, self.bench.now)
            running, waiting = len(engine.running), len(engine.waiting)
            self.bench.saw(waiting)
            self.table.running[row], self.table.waiting[row] = running, waiting
            self.table.scraped_at[row] = self.bench.now
            idle = not running and not waiting
            self.state.learner.inflight.scraped(row, self.bench.now, idle=idle)
            self.state.engine_room.scraped(row)
        self.line.room_changed()


class Bench:
    """Pickers before a fleet, and two tenants that always want more."""

    def __init__(self, pickers: int, *, sharing: bool, at_one: bool, seed: int) -> None:
        self.now = 1.0
        self.fleet = VirtualFleet(SERVERS, SimConfig(("m",), max_running=MAX_RUNNING, prefix_caching=False))
        self.draw = random.Random(seed)
        self.sharing = sharing
        self.at_one = at_one
        self.open: dict[int, tuple[Picker, Asked]] = {}
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.count = 0
        self.given = {"a": 0.0, "b": 0.0}
        self.lead: list[float] = []
        """Of the one tenant's service over the other's, after each request."""
        self.longest_engine_queue = 0
        self.finished = 0
        self.clock: Callable[[], float] = lambda: self.now
        self.pickers = [Picker(self, number, pickers) for number in range(pickers)]

    def at(self, time: float, do: Callable[[], None]) -> None:
        """Do it then."""
        self.count += 1
        heapq.heappush(self.events, (time, self.count, do))

    def every(self, first: float, interval: float, do: Callable[[], None]) -> None:
        """Again and again."""

        def again() -> None:
            do()
            self.every(self.now + interval, interval, do)

        self.at(first, again)

    def post(self, sender: Picker, data: bytes) -> None:
        """News to all others."""

        def arrive() -> None:
            for picker in self.pickers:
                if picker is not sender:
                    for news in decode_news(data):
                        assert isinstance(news, LoadNews)
                        picker.sharing.heard(news)

        self.at(self.now + DELIVERY_SECONDS, arrive)

    def ask(self, picker: Picker, tenant: str) -> None:
        """One more waits."""
        tokens = int(PROMPT_BYTES / 4 * self.draw.uniform(0.5, 1.5))
        picker.join(Asked(tenant, tokens, int(OUTPUT_TOKENS * self.draw.uniform(0.5, 1.5))))

    def send(self, picker: Picker, server: int, one: Asked) -> None:
        """It goes; another of its tenant takes its place in the line."""
        arrival = Arrival(self.now, self.draw.randbytes(4 * one.tokens), one.output)
        self.open[id(self.fleet.submit(server, arrival))] = picker, one
        self.given[one.tenant] += one.service
        if self.now > WARM_SECONDS:
            self.lead.append(self.given["a"] - self.given["b"])
        self.ask(picker, one.tenant)

    def saw(self, waiting: int) -> None:
        """A queue in an engine."""
        if self.now > WARM_SECONDS:
            self.longest_engine_queue = max(self.longest_engine_queue, waiting)

    async def run(self, seconds: float) -> dict[str, Any]:
        """So many seconds of it."""
        for picker in self.pickers:
            await picker.start()
            self.every(self.now + picker.phase, SCRAPE_SECONDS, picker.scrape)
            if self.sharing:
                interval = picker.sharing.interval_seconds or INTERVAL_SECONDS
                shift = picker.phase / SCRAPE_SECONDS * interval
                self.every(self.now + shift, interval, picker.sharing.tell)
        for number, picker in enumerate(self.pickers):
            for _ in range(BACKLOG):
                if not (self.at_one and number):
                    self.ask(picker, "a")
                self.ask(picker, "b")
        while self.now < seconds:
            self.now = min(self.events[0][0], self.fleet.next_end())
            self.fleet.advance(self.now, self._finished)
            while self.events and self.events[0][0] <= self.now:
                heapq.heappop(self.events)[2]()
            for picker in self.pickers:
                picker.take_turns()
        mean = service(PROMPT_BYTES / 4, OUTPUT_TOKENS)
        return {
            "service_difference_requests": round((max(self.lead) - min(self.lead)) / mean, 1),
            "share_of_a": round(self.given["a"] / sum(self.given.values()), 3),
            "longest_engine_queue": self.longest_engine_queue,
            "answers_per_second": round(self.finished / (seconds - WARM_SECONDS), 1),
        }

    def _finished(self, served: Served) -> None:
        picker, one = self.open.pop(id(served))
        self.finished += self.now > WARM_SECONDS
        picker.ended(one)


async def measure(seconds: float, seed: int) -> dict[str, Any]:
    """All runs."""
    found: dict[str, Any] = {}
    for at_one, where in ((False, "everywhere"), (True, "at_one")):
        for pickers in (1, 2, 4):
            for sharing in (True, False) if pickers > 1 else (True,):
                bench = Bench(pickers, sharing=sharing, at_one=at_one, seed=seed)
                named = f"{pickers}{'' if sharing else '_telling_nothing'}"
                found.setdefault(where, {})[named] = await bench.run(seconds)
    return found


def main() -> None:
    """Run all and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=90.0)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    found = {
        "servers": SERVERS,
        "max_running": MAX_RUNNING,
        "interval_seconds_for_each_other": INTERVAL_SECONDS,
        "delivery_seconds": DELIVERY_SECONDS,
        "pickers": asyncio.run(measure(given.seconds, given.seed)),
    }
    text = json.dumps(found, indent=2) + "\n"
    given.out.write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
