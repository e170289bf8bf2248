"""Scrapes every endpoint's engine metrics into the endpoint table.

Each endpoint has its own task, so that one that stalls, lies or never ends holds up nothing else. The
interval stretches with the number of endpoints: all scraping together stays under a tenth of a core,
and endpoints with own requests in flight get most of it.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from pilotage_api.settings import ScrapeSettings
from pilotage_extproc.domain.clock import Clock, monotonic
from pilotage_extproc.sources.engines import ENGINE_METRICS, EngineMetrics
from pilotage_extproc.sources.metrics_text import PageError, PageReader
from pilotage_extproc.sources.scrape_connection import ScrapeConnection, ScrapeError
from pilotage_extproc.state.endpoints import EndpointTable

log = logging.getLogger(__name__)

CORE_SHARE: Final = 0.1
"""Most of one core that all scraping may take."""
BUSY_WEIGHT: Final = 4
"""How many times as often an endpoint with own requests in flight is scraped, where time is short."""
_FIXED_COST_SECONDS: Final = 5e-5
_BYTE_COST_SECONDS: Final = 4e-10
"""Of one scrape beside parsing: timers, writing, reading; measured, see docs/benchmarks.md."""
_JITTER: Final = 0.1
_FAILURE_BACKOFF_SECONDS: Final = 1.0
_REFUSED_BACKOFF_SECONDS: Final = 0.25
_FAILURES_WORTH_A_WARNING: Final = 5


class ScrapeSink(Protocol):
    """Is told what pages say beside the table's figures."""

    def scraped(self, row: int, began_at: float, *, idle: bool) -> None:
        """A scrape that began then is in the table; `idle` if the engine held no request."""

    def adapters(self, row: int, slots: int, active: Iterable[str]) -> None:
        """LoRA slots of the engine, and the adapters running or waiting."""

    def cache_size(self, row: int, tokens: float) -> None:
        """Tokens the engine's prefix cache holds."""

    def restarted(self, row: int) -> None:
        """The server is another process than before: its caches are empty."""

    def unreachable(self, row: int, seconds: float) -> None:
        """Nobody listens there; it is tried again within so many seconds."""


@dataclass(slots=True)
class _Watched:
    """One endpoint between its scrapes."""

    address: str
    reader: PageReader
    connection: ScrapeConnection = field(default_factory=ScrapeConnection)
    started_at: float | None = None
    """When its process started, as its page says."""
    refused: bool = False
    """Whether nobody listened there since the last good page."""
    sized: bool = False
    """Whether its cache size is known."""
    busy: bool = False


class Scraper:
    """Keeps one task an endpoint that has metrics."""

    def __init__(
        self,
        table: EndpointTable,
        settings: ScrapeSettings,
        sink: ScrapeSink,
        *,
        clock: Clock = monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._table = table
        self._settings = settings
        self._sink = sink
        self._clock = clock
        self._jitter = jitter
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._busy = 0
        """Tasks whose endpoint had own requests in flight when it was last scraped."""
        self.cost_seconds = 2 * _FIXED_COST_SECONDS
        """Moving average of CPU one scrape takes here."""

    def interval_seconds(self, *, busy: bool) -> float:
        """The interval in force for an endpoint with, or without, own requests in flight."""
        weights = len(self._tasks) + (BUSY_WEIGHT - 1) * self._busy
        stretched = weights * self.cost_seconds / CORE_SHARE
        return max(self._settings.interval_seconds, stretched / BUSY_WEIGHT if busy else stretched)

    def follow(self) -> None:
        """Scrape exactly the endpoints the table has now."""
        wanted = {
            address: ENGINE_METRICS[facts.engine]
            for address in self._table.rows()
            if (facts := self._table.facts_of(address)) is not None and facts.engine in ENGINE_METRICS
        }
        for address in self._tasks.keys() - wanted.keys():
            self._tasks.pop(address).cancel()
        for address, metrics in wanted.items():
            if address not in self._tasks:
                task = asyncio.create_task(self._watch(address, metrics), name=f"scrape {address}")
                self._tasks[address] = task

    async def stop(self) -> None:
        """End all tasks."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, address: str, metrics: EngineMetrics) -> None:
        host, _, port = address.rpartition(":")
        request = f"GET /metrics HTTP/1.1\r\nHost: {address}\r\nAccept: text/plain\r\n\r\n".encode()
        watched = _Watched(address, PageReader(metrics))
        try:
            await asyncio.sleep(self.interval_seconds(busy=False) * self._jitter())
            while True:
                try:
                    if not watched.connection.open:
                        watched.connection = await self._connect(host.strip("[]"), int(port))
                    await self._scrape(watched, request)
                except ConnectionRefusedError:
                    self._refused(watched)
                    await asyncio.sleep(_REFUSED_BACKOFF_SECONDS * (0.5 + self._jitter()))
                except (ScrapeError, PageError, OSError) as error:
                    self._failed(watched, str(error))
                    await asyncio.sleep(_FAILURE_BACKOFF_SECONDS * (0.5 + self._jitter()))
                interval = self.interval_seconds(busy=watched.busy)
                await asyncio.sleep(interval * (1 + _JITTER * (2 * self._jitter() - 1)))
        finally:
            self._busy -= watched.busy
            watched.connection.close()

    async def _connect(self, host: str, port: int) -> ScrapeConnection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                _, connection = await loop.create_connection(ScrapeConnection, host, port)
        except TimeoutError:
            raise ScrapeError("no connection in time") from None
        return connection

    async def _scrape(self, watched: _Watched, request: bytes) -> None:
        began = self._clock()
        page = await watched.connection.fetch(request, self._settings.timeout_seconds)
        started = time.perf_counter()
        reader, table, sink = watched.reader, self._table, self._sink
        load = reader.load(page)
        row = table.row_of(watched.address)
        if row is None:
            return
        self._notice_restart(watched, row, reader.started_at(page))
        table.measured(row, began, load.waiting, load.running, load.kv_usage)
        sink.scraped(row, began, idle=load.waiting + load.running == 0)
        if not watched.sized:
            watched.sized = True
            tokens = reader.cache_tokens(page)
            if tokens:
                sink.cache_size(row, tokens)
        adapters = reader.adapters(page)
        if adapters is not None and adapters.slots:
            sink.adapters(row, adapters.slots, adapters.active)
        busy = bool(table.inflight[row])
        self._busy += busy - watched.busy
        watched.busy = busy
        cost = time.perf_counter() - started + _FIXED_COST_SECONDS + len(page) * _BYTE_COST_SECONDS
        self.cost_seconds += 0.02 * (min(cost, 0.01) - self.cost_seconds)

    def _notice_restart(self, watched: _Watched, row: int, started_at: float | None) -> None:
        other = started_at is not None and watched.started_at not in (None, started_at)
        if other or (watched.refused and (started_at is None or watched.started_at is None)):
            self._sink.restarted(row)
            watched.sized = False
            log.info("a model server has restarted", extra={"endpoint": watched.address})
        watched.started_at = started_at
        watched.refused = False

    def _refused(self, watched: _Watched) -> None:
        row = self._table.row_of(watched.address)
        if row is None:
            return
        if not watched.refused:
            watched.refused = True
            log.warning("nobody listens at an endpoint", extra={"endpoint": watched.address})
        self._table.failures[row] += 1
        self._table.expire(row)
        retry = 2 * _REFUSED_BACKOFF_SECONDS + self.interval_seconds(busy=False)
        self._sink.unreachable(row, 2 * retry)

    def _failed(self, watched: _Watched, reason: str) -> None:
        watched.connection.close()
        row = self._table.row_of(watched.address)
        if row is None:
            return
        self._table.failures[row] += 1
        if self._table.failures[row] == _FAILURES_WORTH_A_WARNING:
            details = {"endpoint": watched.address, "error": reason}
            log.warning("an endpoint's metrics cannot be read", extra=details)
