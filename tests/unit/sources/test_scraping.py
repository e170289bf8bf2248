"""Scraping over real sockets: chunks, lies, silence; and names that resolve to other addresses."""

import asyncio

import pytest

from pilotage_api.settings import ScrapeSettings
from pilotage_api.snapshot import EndpointSnapshot, Engine, PoolSnapshot, RoutingSnapshot, StreamUsage
from pilotage_extproc.sources.discovery import Discovery
from pilotage_extproc.sources.scrape import Scraper
from pilotage_extproc.sources.scrape_connection import ScrapeConnection, ScrapeError
from pilotage_extproc.state.endpoints import EndpointFacts, EndpointTable

PAGE = b"vllm:num_requests_waiting 2\nvllm:num_requests_running 3\nvllm:kv_cache_usage_perc 0.5\n"
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(PAGE), PAGE)


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


async def fetch(port: int, timeout: float = 1.0) -> bytes:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(ScrapeConnection, "127.0.0.1", port)
    try:
        return await connection.fetch(b"GET /metrics HTTP/1.1\r\n\r\n", timeout)
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
        b"\x00" * 70_000,
        b"SSH-2.0-x\r\n\r\n",
    ],
)
async def test_what_is_not_a_page_is_an_error(answer):
    server, port = await serve([answer])
    async with server:
        with pytest.raises(ScrapeError):
            await fetch(port)


async def test_silence_is_an_error_after_the_time_allowed():
    server, port = await serve([b""])
    async with server:
        with pytest.raises(ScrapeError, match=r"no answer within 0.05 s"):
            await fetch(port, 0.05)


async def test_a_cancellation_that_meets_the_page_is_not_lost():
    connection = ScrapeConnection()

    class Transport:
        def write(self, request):
            pass

        def abort(self):
            pass

    connection.connection_made(Transport())
    fetching = asyncio.create_task(connection.fetch(b"", 1))
    await asyncio.sleep(0)
    connection.get_buffer(0)[: len(WHOLE)] = WHOLE
    connection.buffer_updated(len(WHOLE))
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching


async def test_a_page_without_end_is_cut_off():
    server, port = await serve([b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n" + b"x" * (5 << 20)])
    async with server:
        with pytest.raises(ScrapeError, match="larger than"):
            await fetch(port, 5)


async def test_each_endpoint_is_scraped_and_a_bad_one_harms_no_other():
    good, good_port = await serve([WHOLE])
    bad, bad_port = await serve([b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nxyz"])
    table = EndpointTable()
    facts = EndpointFacts(Engine.VLLM, ("default/a",))
    addresses = [f"127.0.0.1:{good_port}", f"127.0.0.1:{bad_port}"]
    table.sync(dict.fromkeys(addresses, facts))
    scraped = asyncio.Event()
    settings = ScrapeSettings(interval_seconds=0.01, timeout_seconds=0.2)
    scraper = Scraper(table, settings, on_scraped=lambda *_: scraped.set(), jitter=lambda: 0.0)
    async with good, bad:
        scraper.follow()
        await asyncio.wait_for(scraped.wait(), 5)
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
    table = EndpointTable()
    scraper = Scraper(table, ScrapeSettings(), on_scraped=lambda *_: None)
    assert scraper.interval_seconds == 0.1
    scraper._tasks = dict.fromkeys(map(str, range(1000)))
    assert scraper.interval_seconds == pytest.approx(1000 * scraper._cost_seconds / 0.1)


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
    await discovery.stop()
