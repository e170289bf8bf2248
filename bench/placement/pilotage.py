"""Pilotage in virtual time: the scheduler and the learner of pilotage_extproc, in process, on a clock that
stands still.

The one file that knows their interfaces. What Envoy, the scraper and the settler do around them is done here
with the same tables: scrapes read the simulated engine's real metrics page with the real reader, one server
at a time at the interval in force; a request counts in flight from its placing until SETTLE_DELAY_SECONDS
after its end.
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
from pilotage_api.snapshot import Engine, ProfileSnapshot
from pilotage_extproc.domain.features import RequestFeatures
from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.domain.prompt_blocks import prompt_blocks
from pilotage_extproc.scheduling.candidates import CandidateSet, Knowledge, candidate_set, group_of
from pilotage_extproc.scheduling.feedback import Learner, Placed
from pilotage_extproc.scheduling.profile import ProfileBook
from pilotage_extproc.scheduling.scheduler import Scheduler
from pilotage_extproc.sources.engines import ENGINE_METRICS
from pilotage_extproc.sources.metrics_text import PageReader
from pilotage_extproc.state.affinity import AdapterSlots, Sessions
from pilotage_extproc.state.calibration import TokenCalibration
from pilotage_extproc.state.endpoints import EndpointFacts, EndpointTable
from pilotage_extproc.state.health import HealthLedger
from pilotage_extproc.state.inflight import InflightCounts
from pilotage_extproc.state.prefix_index import PrefixIndex
from pilotage_sim.http.metrics import metrics_page

_POOL = "default/bench"


class Pilotage:
    """A picker with default settings."""

    name = "pilotage"

    def __init__(self, servers: int, seed: int, profile: ProfileSnapshot | None = None) -> None:
        settings = GatewaySettings()
        self._addresses = [f"10.0.{server >> 8}.{server & 255}:8000" for server in range(servers)]
        self._table = EndpointTable()
        self._table.sync({one: EndpointFacts(Engine.VLLM, (_POOL,)) for one in self._addresses})
        self._table.admit(self._addresses)
        self._server_of = {self._row(server): server for server in range(servers)}
        self._readers = [PageReader(ENGINE_METRICS[Engine.VLLM]) for _ in range(servers)]
        self._sized: set[int] = set()
        self._knowledge = Knowledge(
            PrefixIndex(max_bytes=settings.prefix_index_bytes), AdapterSlots(), Sessions()
        )
        self._learner = Learner(
            self._table,
            self._knowledge,
            InflightCounts(self._table),
            HealthLedger(self._table),
            TokenCalibration(),
        )
        self._scheduler = Scheduler(self._table, self._knowledge)
        self._profile = ProfileBook(plugins={}, seed=seed).profile(profile or ProfileSnapshot())
        self._candidates: dict[str, CandidateSet] = {}
        self._interval = scrape_interval_seconds(servers)
        self._random = Random(seed)
        self._scrapes = [(self._interval * self._random.random(), server) for server in range(servers)]
        heapq.heapify(self._scrapes)
        self._placed: dict[int, Placed] = {}
        """By number of the request."""
        self._ended: list[tuple[float, int, str]] = []
        """Requests that ended and are not settled: when to, their number, and who served."""

    def place(self, request: Request, prompt: bytes, now: float) -> int:
        """Rank, and count the request at the first."""
        model = request.adapter or MODEL
        candidates = self._candidates_of(model, adapter=request.adapter is not None)
        features = RequestFeatures(
            prompt=prompt_blocks(prompt) if self._profile.reads_prompt else None,
            bytes_per_token=self._learner.calibration.bytes_per_token(model),
            session=request.session if self._profile.reads_session else None,
        )
        ranking = self._scheduler.rank(
            candidates, self._profile, request=features, subset=None, limit=1, tier_order=None, now=now
        )
        target = candidates.targets[ranking.order[0]]
        self._placed[request.number] = self._learner.placed(
            str(request.number), (target,), features, cached_tokens=ranking.cached_tokens, now=now
        )
        return self._server_of[target.row]

    def finished(self, number: int, server: int, now: float) -> None:
        """Known when Envoy's access log tells."""
        heapq.heappush(self._ended, (now + SETTLE_DELAY_SECONDS, number, self._addresses[server]))

    def next_wake(self) -> float:
        """The next scrape, or the next request to settle."""
        return min(self._scrapes[0][0], self._ended[0][0]) if self._ended else self._scrapes[0][0]

    def wake(self, now: float, engine_at: EngineAt) -> None:
        """Settle and scrape what is due."""
        while self._ended and self._ended[0][0] <= now:
            _, number, address = heapq.heappop(self._ended)
            outcome = Outcome(str(number), 200, address, 1, None, None)
            self._learner.settled(self._placed.pop(number), outcome, now)
        while self._scrapes[0][0] <= now:
            at, server = self._scrapes[0]
            page = metrics_page(engine_at(server), MODEL, now_seconds=now, started_at_seconds=0.0)
            self._scraped(server, page, now)
            jitter = 1 + SCRAPE_JITTER * (2 * self._random.random() - 1)
            heapq.heapreplace(self._scrapes, (at + self._interval * jitter, server))

    def _scraped(self, server: int, page: bytes, now: float) -> None:
        """As `Scraper` and its sink do with a page."""
        reader, row = self._readers[server], self._row(server)
        load = reader.load(page)
        self._table.measured(row, now, load.waiting, load.running, load.kv_usage)
        self._learner.inflight.scraped(row, now, idle=load.waiting + load.running == 0)
        if server not in self._sized:
            tokens = reader.cache_tokens(page)
            if tokens is not None:
                self._sized.add(server)
                self._learner.size_cache(row, tokens)
        adapters = reader.adapters(page)
        if adapters is not None and adapters.slots:
            self._knowledge.adapters.scraped(row, adapters.slots, adapters.running, adapters.waiting)

    def _row(self, server: int) -> int:
        row = self._table.row_of(self._addresses[server])
        assert row is not None
        return row

    def _candidates_of(self, model: str, *, adapter: bool) -> CandidateSet:
        found = self._candidates.get(model)
        if found is None:
            group = group_of(
                self._addresses, self._table, pool=_POOL, upstream_model=model, is_adapter=adapter
            )
            found = self._candidates[model] = candidate_set([group], 1)
        return found
