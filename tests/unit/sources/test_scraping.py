"""Scraping over real sockets: chunks, lies, silence; and names that resolve to other addresses."""

import asyncio
from pathlib import Path

import pytest

from pilotage_api.settings import ScrapeSettings
from pilotage_api.snapshot import (
    EndpointSnapshot,
    Engine,
    PoolSnapshot,
    RoutingSnapshot,
    StreamUsage,
)
from pilotage_extproc.sources.discovery import Discovery
from pilotage_extproc.sources.scrape import BUSY_WEIGHT, Scraper
from pilotage_extproc.sources.scrape_connection import ScrapeConnection, ScrapeError
from pilotage_extproc.state.endpoints import EndpointFacts, EndpointTable

CAPTURES = Path(__file__).parents[2] / "fixtures" / "vllm-0.32"
PAGE = b"vllm:num_requests_waiting 2\nvllm:num_requests_running 3\nvllm:kv_cache_usage_perc 0.5\n"
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(PAGE), PAGE)


class Sink:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple] = []
        self.happened = asyncio.Event()

    def _note(self, *what) -> None:
        self.told.append(what)
        self.happened.set()

    def scraped(self, row, began_at, *, idle):
        self._note("scraped", row)

    def adapters(self, row, slots, running, waiting):
        self._note("adapters", row, slots, tuple(running), tuple(waiting))

    def cache_size(self, row, tokens):
        self._note("cache_size", row, tokens)

    def restarted(self, row):
        self._note("restarted", row)

    def unreachable(self, row, seconds):
        self._note("unreachable", row)


def answering(answer: bytes, writers: list):
    async def handle(reader, writer):
        writers.append(writer)
        while True:
            try:
                await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            writer.write(answer)
        writer.close()

    return handle


async def serve(answers: list[bytes], *, piece: int = 1 << 20):
    """A server that gives these answers, one a request, in pieces."""
    left = list(answers)

    async def handle(reader, writer):
        while True:
            try:
                await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            answer = left.pop(0) if len(left) > 1 else left[0]
            for start in range(0, len(answer), piece):
                writer.write(answer[start : start + piece])
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


async def fetch(port: int) -> bytes:
    """One page. Raises ScrapeError."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[bytes] = loop.create_future()
    _, connection = await loop.create_connection(
        lambda: ScrapeConnection(found.set_result, lambda reason: found.set_exception(ScrapeError(reason))),
        "127.0.0.1",
        port,
    )
    connection.ask(b"GET /metrics HTTP/1.1\r\n\r\n")
    try:
        return await found
    finally:
        connection.close()


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    "answer",
    [
        WHOLE,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (PAGE[:10], PAGE[10:]))
        + b"0\r\n\r\n",
    ],
    ids=["content-length", "chunked"],
)
async def test_a_page_is_read_however_it_is_cut(answer, piece):
    server, port = await serve([answer], piece=piece)
    async with server:
        assert await fetch(port) == PAGE


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nno length",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-6\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 5000,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffff\r\n",
        b"\x00" * 70_000,
        b"SSH-2.0-x\r\n\r\n",
    ],
)
async def test_what_is_not_a_page_is_an_error(answer):
    server, port = await serve([answer])
    async with server:
        with pytest.raises(ScrapeError):
            await fetch(port)


async def test_a_server_that_says_nothing_is_given_up_after_the_time_allowed():
    server, port = await serve([b""])
    fleet = Fleet(port)
    async with server:
        fleet.scraper.follow()
        async with asyncio.timeout(30):
            while not fleet.table.failures[fleet.row]:
                await asyncio.sleep(0.01)
        await fleet.scraper.stop()


async def test_nothing_is_left_of_a_stopped_scraper():
    server, port = await serve([WHOLE])
    fleet = Fleet(port)
    async with server:
        fleet.scraper.follow()
        await fleet.until("scraped")
        await fleet.scraper.stop()
        left = {task.get_name().partition(" ")[0] for task in asyncio.all_tasks()}
        assert not left & {"scrape", "connect"}


async def test_a_page_without_end_is_cut_off():
    server, port = await serve([b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n" + b"x" * (5 << 20)])
    async with server:
        with pytest.raises(ScrapeError, match="larger than"):
            await fetch(port)


async def test_each_endpoint_is_scraped_and_a_bad_one_harms_no_other():
    good, good_port = await serve([WHOLE])
    bad, bad_port = await serve([b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nxyz"])
    table = EndpointTable()
    facts = EndpointFacts(Engine.VLLM, ("default/a",))
    addresses = [f"127.0.0.1:{good_port}", f"127.0.0.1:{bad_port}"]
    table.sync(dict.fromkeys(addresses, facts))
    sink = Sink()
    settings = ScrapeSettings(interval_seconds=0.01, timeout_seconds=0.2)
    scraper = Scraper(table, settings, sink, jitter=lambda: 0.0)
    async with good, bad:
        scraper.follow()
        await asyncio.wait_for(sink.happened.wait(), 5)
        for _ in range(500):
            if table.failures[table.row_of(addresses[1])]:
                break
            await asyncio.sleep(0.01)
        await scraper.stop()
    row = table.row_of(addresses[0])
    assert (table.waiting[row], table.running[row], table.kv_usage[row]) == (2, 3, 0.5)
    assert table.failures[table.row_of(addresses[1])] == 1
    assert not table.scraped_at[table.row_of(addresses[1])] > 0


def test_the_interval_stretches_so_that_scraping_stays_under_a_tenth_of_a_core():
    scraper = Scraper(EndpointTable(), ScrapeSettings(), Sink())
    assert scraper.interval_seconds(busy=False) == scraper.interval_seconds(busy=True) == 0.1
    scraper._watched = dict.fromkeys(map(str, range(1000)))
    for busy in (0, 100, 1000):
        scraper._busy = busy
        scrapes = busy / scraper.interval_seconds(busy=True)
        scrapes += (1000 - busy) / scraper.interval_seconds(busy=False)
        assert scrapes * scraper.cost_seconds == pytest.approx(0.1)


def test_busy_endpoints_are_scraped_sooner_where_time_is_short():
    scraper = Scraper(EndpointTable(), ScrapeSettings(), Sink())
    scraper._watched = dict.fromkeys(map(str, range(1000)))
    scraper._busy = 10
    idle, busy = (scraper.interval_seconds(busy=one) for one in (False, True))
    assert idle == pytest.approx(BUSY_WEIGHT * busy)


class Fleet:
    """One endpoint that is scraped, served by whatever the test starts."""

    def __init__(self, port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        self.table = EndpointTable()
        self.table.sync({self.address: EndpointFacts(Engine.VLLM, ("default/a",), adapters=True)})
        self.row = self.table.row_of(self.address)
        self.sink = Sink()
        settings = ScrapeSettings(interval_seconds=0.01, timeout_seconds=0.2)
        self.scraper = Scraper(self.table, settings, self.sink, jitter=lambda: 0.1)

    async def until(self, told: str) -> None:
        async with asyncio.timeout(30):
            while not any(one[0] == told for one in self.sink.told):
                self.sink.happened.clear()
                await self.sink.happened.wait()


def whole(page: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(page), page)


async def test_a_server_with_another_start_time_has_restarted():
    started = b"process_start_time_seconds %d\n"
    server, port = await serve(
        [whole(PAGE + started % 1), whole(PAGE + started % 1), whole(PAGE + started % 2)]
    )
    fleet = Fleet(port)
    async with server:
        fleet.scraper.follow()
        await fleet.until("restarted")
        await fleet.scraper.stop()
    assert [one for one in fleet.sink.told if one[0] == "restarted"] == [("restarted", fleet.row)]


async def test_a_server_that_was_gone_has_restarted_even_if_it_does_not_say_so():
    writers = []
    server = await asyncio.start_server(answering(WHOLE, writers), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    fleet = Fleet(port)
    fleet.scraper.follow()
    await fleet.until("scraped")
    server.close()
    for writer in writers:
        writer.transport.abort()
    await fleet.until("unreachable")
    assert fleet.table.scraped_at[fleet.row] < 0, "figures of a server that is gone are not used"
    async with await asyncio.start_server(answering(WHOLE, writers), "127.0.0.1", port):
        await fleet.until("restarted")
        await fleet.scraper.stop()


async def test_cache_size_and_adapters_of_a_real_page_are_told():
    page = (CAPTURES / "metrics_under_load_lora.prom").read_bytes()
    server, port = await serve([whole(page)])
    fleet = Fleet(port)
    async with server:
        fleet.scraper.follow()
        await fleet.until("adapters")
        await fleet.scraper.stop()
    told = {one[0]: one[1:] for one in fleet.sink.told}
    assert told["cache_size"] == (fleet.row, 128 * 8192)
    assert told["adapters"] == (fleet.row, 2, ("chat-lora", "sql-lora"), ("chat-lora", "sql-lora"))


def told_sizes(fleet: Fleet) -> list[float]:
    return [one[2] for one in fleet.sink.told if one[0] == "cache_size"]


async def test_a_cache_is_sized_when_its_number_comes():
    info = b'vllm:cache_config_info{block_size="16",num_gpu_blocks="%b"} 1.0\n'
    server, port = await serve(
        [whole(PAGE + info % b"None"), whole(PAGE + info % b"None"), whole(PAGE + info % b"1000")]
    )
    fleet = Fleet(port)
    async with server:
        fleet.scraper.follow()
        await fleet.until("cache_size")
        await fleet.scraper.stop()
    assert told_sizes(fleet) == [16_000]


async def test_an_engine_without_prefix_caching_is_told_as_holding_nothing():
    info = b'vllm:cache_config_info{block_size="16",enable_prefix_caching="False",num_gpu_blocks="9"} 1.0\n'
    server, port = await serve([whole(PAGE + info)])
    fleet = Fleet(port)
    async with server:
        fleet.scraper.follow()
        await fleet.until("cache_size")
        await fleet.scraper.stop()
    assert told_sizes(fleet) == [0]


async def test_thousands_of_adapter_lines_cost_neither_the_load_nor_its_freshness():
    lines = b"".join(
        b'vllm:lora_requests_info{max_lora="2",running_lora_adapters="a%d",waiting_lora_adapters=""} %d\n'
        % (number, number)
        for number in range(8000)
    )
    server, port = await serve([whole(lines + PAGE)])
    fleet = Fleet(port)
    async with server:
        fleet.scraper.follow()
        await fleet.until("adapters")
        async with asyncio.timeout(30):
            while sum(one[0] == "scraped" for one in fleet.sink.told) < 20:
                await asyncio.sleep(0.01)
        await fleet.scraper.stop()
    assert ("adapters", fleet.row, 2, ("a7999",), ()) in fleet.sink.told
    adapters, scraped = (sum(one[0] == name for one in fleet.sink.told) for name in ("adapters", "scraped"))
    assert adapters < scraped / 2, "adapters are read less often than the load where they are dear"


async def test_the_page_of_many_data_parallel_engines_is_read():
    real = (CAPTURES / "metrics.prom").read_bytes().splitlines(keepends=True)
    page = b"".join(
        line
        if line.startswith(b"#") or b'engine="0"' not in line
        else b"".join(line.replace(b'engine="0"', b'engine="%d"' % rank) for rank in range(32))
        for line in real
    )
    assert len(page) > 1 << 20
    server, port = await serve([whole(page)])
    fleet = Fleet(port)
    async with server:
        fleet.scraper.follow()
        await fleet.until("cache_size")
        await fleet.until("scraped")
        await fleet.scraper.stop()
    assert told_sizes(fleet) == [32 * 1_048_576]
    assert not fleet.table.failures[fleet.row]


def snapshot(*addresses: str) -> RoutingSnapshot:
    endpoints = tuple(EndpointSnapshot(address=address, port=80) for address in addresses)
    pool = PoolSnapshot(
        key="default/a",
        engine=Engine.VLLM,
        endpoints=endpoints,
        stream_usage=StreamUsage.INJECT,
        models=("m",),
    )
    return RoutingSnapshot(pools=(pool,))


async def test_names_become_addresses_and_a_failed_lookup_keeps_the_last():
    known = {"models.test": ["10.0.0.2", "10.0.0.1"]}

    async def resolve(name: str) -> list[str]:
        if name not in known:
            raise OSError("no such name")
        return known[name]

    discovery = Discovery(lambda: None, resolve)
    await discovery.follow(snapshot("models.test", "10.0.0.9", "gone.test", "::1"))
    expected = ("10.0.0.2:80", "10.0.0.1:80", "10.0.0.9:80", "[::1]:80")
    assert discovery.membership() == {"default/a": expected}
    assert discovery.failed == {"gone.test": "no such name"}
    known.clear()
    await discovery._look_up("models.test")
    assert discovery.membership() == {"default/a": expected}
    assert discovery.failed.keys() == {"gone.test", "models.test"}
    await discovery.stop()
