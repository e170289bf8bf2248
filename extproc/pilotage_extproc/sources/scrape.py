"""Scrapes every endpoint's engine metrics into the endpoint table.

Each endpoint has its own task, so that one that stalls or lies holds up nothing else. The interval
stretches with the number of endpoints: all scraping together stays under a tenth of a core.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable

from pilotage_api.settings import ScrapeSettings
from pilotage_extproc.domain.clock import Clock, monotonic
from pilotage_extproc.sources.engines import ENGINE_METRICS, EngineMetrics
from pilotage_extproc.sources.metrics_text import PageError, read_load
from pilotage_extproc.sources.scrape_connection import ScrapeConnection, ScrapeError
from pilotage_extproc.state.endpoints import EndpointTable

log = logging.getLogger(__name__)

CORE_SHARE = 0.1
"""Most of one core that all scraping may take."""
_FIRST_COST_SECONDS = 1e-4
_JITTER = 0.1
_FAILURE_BACKOFF_SECONDS = 1.0
_FAILURES_WORTH_A_WARNING = 5


class Scraper:
    """Keeps one task an endpoint that has metrics."""

    def __init__(
        self,
        table: EndpointTable,
        settings: ScrapeSettings,
        *,
        on_scraped: Callable[[int, float, bool], None],
        clock: Clock = monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._table = table
        self._settings = settings
        self._on_scraped = on_scraped
        self._clock = clock
        self._jitter = jitter
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._cost_seconds = _FIRST_COST_SECONDS
        """Moving average of CPU one scrape takes here."""

    @property
    def interval_seconds(self) -> float:
        """The interval in force for each endpoint."""
        return max(self._settings.interval_seconds, len(self._tasks) * self._cost_seconds / CORE_SHARE)

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
        connection = ScrapeConnection()
        try:
            await asyncio.sleep(self.interval_seconds * self._jitter())
            while True:
                try:
                    if not connection.open:
                        connection = await self._connect(host.strip("[]"), int(port))
                    await self._scrape(address, connection, request, metrics)
                except (ScrapeError, PageError, OSError) as error:
                    self._failed(address, str(error))
                    connection.close()
                    await asyncio.sleep(_FAILURE_BACKOFF_SECONDS * (0.5 + self._jitter()))
                interval = self.interval_seconds
                await asyncio.sleep(interval * (1 + _JITTER * (2 * self._jitter() - 1)))
        finally:
            connection.close()

    async def _connect(self, host: str, port: int) -> ScrapeConnection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                _, connection = await loop.create_connection(ScrapeConnection, host, port)
        except TimeoutError:
            raise ScrapeError("no connection in time") from None
        return connection

    async def _scrape(
        self, address: str, connection: ScrapeConnection, request: bytes, metrics: EngineMetrics
    ) -> None:
        began = self._clock()
        page = await connection.fetch(request, self._settings.timeout_seconds)
        started = time.perf_counter()
        load = read_load(page, metrics)
        table = self._table
        row = table.row_of(address)
        if row is None:
            return
        table.waiting[row], table.running[row], table.kv_usage[row] = (
            load.waiting,
            load.running,
            load.kv_usage,
        )
        table.scraped_at[row] = began
        table.failures[row] = 0
        self._on_scraped(row, began, load.waiting + load.running == 0)
        # reading from the socket costs about as much again as parsing
        cost = 2 * (time.perf_counter() - started)
        self._cost_seconds += 0.02 * (cost - self._cost_seconds)

    def _failed(self, address: str, reason: str) -> None:
        row = self._table.row_of(address)
        if row is None:
            return
        self._table.failures[row] += 1
        if self._table.failures[row] == _FAILURES_WORTH_A_WARNING:
            log.warning("an endpoint's metrics cannot be read", extra={"endpoint": address, "error": reason})
