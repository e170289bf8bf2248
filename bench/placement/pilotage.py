"""Pilotage in virtual time: the scheduler of pilotage_extproc, in process, on a clock that stands still.

The one file that knows its interfaces. What Envoy, the scraper and the settler do around the scheduler is
done here with the same tables: scrapes read the simulated engine's real metrics page with the real reader,
one server at a time at the interval in force; a request counts in flight from its placing until
SETTLE_DELAY_SECONDS after its end.
"""

import heapq
from random import Random

from bench.placement.balancers import EngineAt
from bench.placement.constants import (
    MODEL,
    SCRAPE_JITTER,
    SETTLE_DELAY_SECONDS,
    scrape_interval_seconds,
)
from bench.placement.requests import Request
from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import Engine
from pilotage_extproc.scheduling.candidates import CandidateSet, candidate_set
from pilotage_extproc.scheduling.scheduler import Scheduler
from pilotage_extproc.sources.engines import ENGINE_METRICS
from pilotage_extproc.sources.metrics_text import read_load
from pilotage_extproc.state.endpoints import EndpointFacts, EndpointTable
from pilotage_extproc.state.inflight import InflightLedger
from pilotage_sim.http.metrics import metrics_page

_POOL = "default/bench"
_METRICS = ENGINE_METRICS[Engine.VLLM]


class Pilotage:
    """A picker with default settings."""

    name = "pilotage"

    def __init__(self, servers: int, seed: int) -> None:
        settings = GatewaySettings()
        self._addresses = [f"10.0.{server >> 8}.{server & 255}:8000" for server in range(servers)]
        self._table = EndpointTable()
        self._table.sync({one: EndpointFacts(Engine.VLLM, (_POOL,)) for one in self._addresses})
        self._table.admit(self._addresses)
        self._server_of = {self._row(server): server for server in range(servers)}
        self._ledger = InflightLedger(self._table, ttl_seconds=settings.inflight_ttl_seconds)
        self._scheduler = Scheduler(
            self._table, stale_after_seconds=settings.scrape.stale_after_seconds, seed=seed
        )
        self._candidates: dict[str, CandidateSet] = {}
        self._interval = scrape_interval_seconds(servers)
        self._random = Random(seed)
        self._scrapes = [(self._interval * self._random.random(), server) for server in range(servers)]
        heapq.heapify(self._scrapes)
        self._ended: list[tuple[float, int]] = []
        """Requests that ended and are not settled: when to, and their number."""

    def place(self, request: Request, prompt: bytes, now: float) -> int:
        """Rank, and count the request at the first."""
        del prompt  # nothing of this version reads it
        candidates = self._candidates_of(request.adapter or MODEL)
        ranking = self._scheduler.rank(candidates, subset=None, limit=1, tier_order=None, now=now)
        row = candidates.targets[ranking.order[0]].row
        self._ledger.begin(str(request.number), row, now)
        return self._server_of[row]

    def finished(self, number: int, server: int, now: float) -> None:
        """Known when Envoy's access log tells."""
        del server
        heapq.heappush(self._ended, (now + SETTLE_DELAY_SECONDS, number))

    def next_wake(self) -> float:
        """The next scrape, or the next request to settle."""
        return min(self._scrapes[0][0], self._ended[0][0]) if self._ended else self._scrapes[0][0]

    def wake(self, now: float, engine_at: EngineAt) -> None:
        """Settle and scrape what is due."""
        while self._ended and self._ended[0][0] <= now:
            self._ledger.settle(str(heapq.heappop(self._ended)[1]))
        while self._scrapes[0][0] <= now:
            at, server = self._scrapes[0]
            self._scraped(server, metrics_page(engine_at(server), MODEL, now), now)
            jitter = 1 + SCRAPE_JITTER * (2 * self._random.random() - 1)
            heapq.heapreplace(self._scrapes, (at + self._interval * jitter, server))

    def _scraped(self, server: int, page: bytes, now: float) -> None:
        """As `Scraper` does with a page."""
        load, row, table = read_load(page, _METRICS), self._row(server), self._table
        table.waiting[row], table.running[row], table.kv_usage[row] = (
            load.waiting,
            load.running,
            load.kv_usage,
        )
        table.scraped_at[row] = now
        self._ledger.scraped(row, now, idle=load.waiting + load.running == 0)

    def _row(self, server: int) -> int:
        row = self._table.row_of(self._addresses[server])
        assert row is not None
        return row

    def _candidates_of(self, model: str) -> CandidateSet:
        found = self._candidates.get(model)
        if found is None:
            entries = [(0, address, _POOL, model) for address in self._addresses]
            found = self._candidates[model] = candidate_set(entries, self._table, 1)
        return found
