"""Scrapes every endpoint's engine metrics into the endpoint table.

One task asks all endpoints that are due, in small batches: a process that reads ten pages in a row does
so in half the time of ten that it reads one by one between other work, since its caches stay warm. No
endpoint waits for another: each has its own connection, and one that stalls, lies or never ends holds
up nothing. The interval stretches with the number of endpoints: all scraping together stays under a
tenth of a core, and endpoints with own requests in flight get most of it.
"""

import asyncio
import heapq
import itertools
import logging
import math
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from pilotage_api.settings import ScrapeSettings
from pilotage_extproc.domain.clock import Clock, monotonic
from pilotage_extproc.sources.engines import ENGINE_METRICS, EngineMetrics
from pilotage_extproc.sources.metrics_text import Adapters, PageReader
from pilotage_extproc.sources.sample_lines import PageError
from pilotage_extproc.sources.scrape_connection import ScrapeConnection
from pilotage_extproc.state.endpoints import EndpointTable

log = logging.getLogger(__name__)

CORE_SHARE: Final = 0.1
"""Most of one core that all scraping may take."""
ENDPOINT_SHARE: Final = 0.01
"""Most of one core that scraping one endpoint may take."""
ADAPTER_SHARE: Final = 0.005
"""Most of one core that reading the adapters of one endpoint may take beside that."""
BUSY_WEIGHT: Final = 4
"""How many times as often an endpoint with own requests in flight is scraped, where time is short."""
_FIXED_COST_SECONDS: Final = 4e-5
_BYTE_COST_SECONDS: Final = 3e-10
"""Of one scrape beside parsing: writing, waking, reading; measured, see docs/benchmarks.md."""
_JITTER: Final = 0.1
_GRID_SECONDS: Final = 0.02
"""Scrapes fall due on this grid, so that some fall due together."""
_SWEEP_SECONDS: Final = 0.1
"""How often those that do not answer are looked for."""
_FAILURE_BACKOFF_SECONDS: Final = 1.0
_REFUSED_BACKOFF_SECONDS: Final = 0.25
_FAILURES_WORTH_A_WARNING: Final = 5


class ScrapeSink(Protocol):
    """Is told what pages say beside the table's figures."""

    def scraped(self, row: int, began_at: float, *, idle: bool) -> None:
        """A scrape that began then is in the table; `idle` if the engine held no request."""

    def adapters(self, row: int, slots: int, running: Iterable[str], waiting: Iterable[str]) -> None:
        """LoRA slots of the engine, and the adapters running in them or waiting for one."""

    def cache_size(self, row: int, tokens: float) -> None:
        """Tokens the engine's prefix cache holds; 0 where it caches no prefixes."""

    def restarted(self, row: int) -> None:
        """The server is another process than before: its caches are empty."""

    def unreachable(self, row: int, seconds: float) -> None:
        """Nobody listens there; it is tried again within so many seconds."""


@dataclass(slots=True, eq=False)
class _Watched:
    """One endpoint between its scrapes."""

    address: str
    request: bytes
    reader: PageReader
    connection: ScrapeConnection | None = None
    asked_at: float = 0.0
    """When the request under way was sent, monotonic seconds."""
    connecting: "asyncio.Task[None] | None" = None
    started_at: float | None = None
    """When its process started, as its page says."""
    refused: bool = False
    """Whether nobody listened there since the last good page."""
    sized: bool = False
    """Whether its cache size is known."""
    busy: bool = False
    cost_seconds: float = 0.0
    """Moving average of CPU one scrape of it takes."""
    adapters_due_at: float = 0.0
    """When its adapters are read again, monotonic seconds."""
    gone: bool = False
    """No longer in the table."""


class Scraper:
    """Keeps a connection to each endpoint that has metrics."""

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
        self._watched: dict[str, _Watched] = {}
        self._due: list[tuple[float, int, _Watched]] = []
        """A heap; each endpoint stands in it, or has a request or a connection under way."""
        self._order = itertools.count()
        self._waiting: set[_Watched] = set()
        self._task: asyncio.Task[None] | None = None
        self._busy = 0
        """Endpoints that had own requests in flight when they were last scraped."""
        self.cost_seconds = 2 * _FIXED_COST_SECONDS
        """Moving average of CPU one scrape takes here."""

    def interval_seconds(self, *, busy: bool) -> float:
        """The interval in force for an endpoint with, or without, own requests in flight."""
        weights = len(self._watched) + (BUSY_WEIGHT - 1) * self._busy
        stretched = weights * self.cost_seconds / CORE_SHARE
        return max(self._settings.interval_seconds, stretched / BUSY_WEIGHT if busy else stretched)

    def follow(self) -> None:
        """Scrape exactly the endpoints the table has now."""
        wanted = {
            address: ENGINE_METRICS[facts.engine]
            for address in self._table.rows()
            if (facts := self._table.facts_of(address)) is not None and facts.engine in ENGINE_METRICS
        }
        for address in self._watched.keys() - wanted.keys():
            self._drop(self._watched.pop(address))
        for address, metrics in wanted.items():
            if address not in self._watched:
                self._watched[address] = one = _watched(address, metrics)
                self._again(one, self.interval_seconds(busy=False) * self._jitter())
        if self._watched and self._task is None:
            self._task = asyncio.create_task(self._run(), name="scrape")

    async def stop(self) -> None:
        """End all."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        connecting = [one.connecting for one in self._watched.values() if one.connecting is not None]
        for one in self._watched.values():
            self._drop(one)
        self._watched.clear()
        self._due.clear()
        await asyncio.gather(*connecting, return_exceptions=True)

    def _drop(self, one: _Watched) -> None:
        one.gone = True
        self._busy -= one.busy
        self._waiting.discard(one)
        if one.connecting is not None:
            one.connecting.cancel()
        if one.connection is not None:
            one.connection.close()

    async def _run(self) -> None:
        swept_at = 0.0
        while True:
            now = self._clock()
            while self._due and self._due[0][0] <= now:
                one = heapq.heappop(self._due)[2]
                if not one.gone:
                    self._ask(one)
            if now - swept_at >= _SWEEP_SECONDS:
                swept_at = now
                self._sweep(now)
            following = self._due[0][0] if self._due else now + _SWEEP_SECONDS
            await asyncio.sleep(max(0.001, min(following, swept_at + _SWEEP_SECONDS) - now))

    def _again(self, one: _Watched, seconds: float) -> None:
        due = math.ceil((self._clock() + seconds) / _GRID_SECONDS) * _GRID_SECONDS
        heapq.heappush(self._due, (due, next(self._order), one))

    def _ask(self, one: _Watched) -> None:
        if one.connection is None or not one.connection.open:
            one.connecting = asyncio.create_task(self._connect(one), name=f"connect {one.address}")
            return
        one.asked_at = self._clock()
        self._waiting.add(one)
        one.connection.ask(one.request)

    async def _connect(self, one: _Watched) -> None:
        host, _, port = one.address.rpartition(":")
        loop = asyncio.get_running_loop()

        def connection() -> ScrapeConnection:
            return ScrapeConnection(
                lambda page: self._page(one, page), lambda reason: self._failed(one, reason)
            )

        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                _, one.connection = await loop.create_connection(connection, host.strip("[]"), int(port))
        except ConnectionRefusedError:
            self._refused(one)
        except TimeoutError:
            self._failed(one, "no connection in time")
        except OSError as error:
            self._failed(one, str(error))
        else:
            one.connecting = None
            if one.gone:
                one.connection.close()
            else:
                self._ask(one)
        finally:
            one.connecting = None

    def _sweep(self, now: float) -> None:
        timeout = self._settings.timeout_seconds
        for one in [late for late in self._waiting if now - late.asked_at > timeout]:
            if one.connection is not None:
                one.connection.fail(f"no answer within {timeout:g} s")

    def _page(self, one: _Watched, page: bytes) -> None:
        self._waiting.discard(one)
        if one.gone:
            return
        started = time.perf_counter()
        failed, apart = "", 0.0
        try:
            apart = self._take(one, page)
        except PageError as error:
            failed = str(error)
        cost = time.perf_counter() - started - apart + _FIXED_COST_SECONDS + len(page) * _BYTE_COST_SECONDS
        one.cost_seconds += 0.1 * (cost - one.cost_seconds)
        if failed:
            self._failed(one, failed)
            return
        self.cost_seconds += 0.02 * (min(cost, 0.001) - self.cost_seconds)
        # one whose page is dear to read is read less often, whatever the others cost
        interval = max(self.interval_seconds(busy=one.busy), one.cost_seconds / ENDPOINT_SHARE)
        self._again(one, interval * (1 + _JITTER * (2 * self._jitter() - 1)))

    def _take(self, one: _Watched, page: bytes) -> float:
        """Use a page; seconds spent on what is read apart from the load. Raises PageError."""
        reader, table, sink = one.reader, self._table, self._sink
        load = reader.load(page)  # the only part that a page must have
        facts, row = table.facts_of(one.address), table.row_of(one.address)
        if row is None or facts is None:
            return 0.0
        self._notice_restart(one, row, reader.started_at(page))
        table.measured(row, one.asked_at, load.waiting, load.running, load.kv_usage)
        sink.scraped(row, one.asked_at, idle=load.waiting + load.running == 0)
        if not one.sized:
            tokens = reader.cache_tokens(page)
            if tokens is not None:
                one.sized = True
                sink.cache_size(row, tokens)
        busy = bool(table.inflight[row])
        self._busy += busy - one.busy
        one.busy = busy
        return self._take_adapters(one, row, page) if facts.adapters else 0.0

    def _take_adapters(self, one: _Watched, row: int, page: bytes) -> float:
        """Read them as often as their share of a core allows, however many lines they are."""
        now = self._clock()
        if now < one.adapters_due_at:
            return 0.0
        started = time.perf_counter()
        adapters: Adapters | None = one.reader.adapters(page)
        seconds = time.perf_counter() - started
        one.adapters_due_at = now + seconds / ADAPTER_SHARE
        if adapters is not None and adapters.slots:
            self._sink.adapters(row, adapters.slots, adapters.running, adapters.waiting)
        return seconds

    def _notice_restart(self, one: _Watched, row: int, started_at: float | None) -> None:
        other = started_at is not None and one.started_at not in (None, started_at)
        if other or (one.refused and (started_at is None or one.started_at is None)):
            self._sink.restarted(row)
            one.sized = False
            log.info("a model server has restarted", extra={"endpoint": one.address})
        one.started_at = started_at
        one.refused = False

    def _refused(self, one: _Watched) -> None:
        row = self._table.row_of(one.address)
        if one.gone or row is None:
            return
        if not one.refused:
            one.refused = True
            log.warning("nobody listens at an endpoint", extra={"endpoint": one.address})
        self._table.failures[row] += 1
        self._table.expire(row)
        retry = _REFUSED_BACKOFF_SECONDS * (0.5 + self._jitter())
        self._sink.unreachable(row, 4 * _REFUSED_BACKOFF_SECONDS)
        self._again(one, retry)

    def _failed(self, one: _Watched, reason: str) -> None:
        self._waiting.discard(one)
        if one.connection is not None:
            one.connection.close()
        row = self._table.row_of(one.address)
        if one.gone or row is None:
            return
        self._table.failures[row] += 1
        if self._table.failures[row] == _FAILURES_WORTH_A_WARNING:
            details = {"endpoint": one.address, "error": reason}
            log.warning("an endpoint's metrics cannot be read", extra=details)
        first = reason == "the connection was closed" and self._table.failures[row] == 1
        backoff = 0.0 if first else _FAILURE_BACKOFF_SECONDS * (0.5 + self._jitter())
        self._again(one, backoff)


def _watched(address: str, metrics: EngineMetrics) -> _Watched:
    request = f"GET {metrics.path} HTTP/1.1\r\nHost: {address}\r\nAccept: text/plain\r\n\r\n".encode()
    return _Watched(address, request, PageReader(metrics))
