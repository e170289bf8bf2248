"""Hostile and broken requests: each has its typed answer, and costs nobody else anything."""

import asyncio
import json
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
from gateway_rig import GatewayRig

from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.request.exchange import Exchange

CHAT = {"model": "small", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
JSON = {"content-type": "application/json"}


async def send(
    session: aiohttp.ClientSession, rig: GatewayRig, body: bytes, **headers: str
) -> tuple[int, str]:
    async with session.post(f"{rig.url}/v1/chat/completions", data=body, headers=JSON | headers) as answer:
        told = json.loads(await answer.read())
        return answer.status, told.get("error", {}).get("code", "")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b'{"model": "small", "messages": [{"role"', "invalid_json"),
        (b"[" * 100_000, "invalid_json"),
        (b'{"model": "small", "messages": ["\xff\xfe"]}', "invalid_json"),
        (b'{"model": "small", "model": "llama-8b", "messages": [1]}', "invalid_field"),
        (b'{"model": "small", "mod\\u0065l": "llama-8b", "messages": [1]}', "invalid_field"),
        (b"[1, 2]", "invalid_json"),
        (b'{"messages": [1]}', "missing_model"),
        (b'{"model": 7, "messages": [1]}', "missing_model"),
        (b'{"model": "small"}', "missing_prompt"),
        (b'{"model": "small", "messages": [' + b"[]," * 150_000 + b"[]]}", "body_too_complex"),
        (b'{"model": "' + b"m" * 300 + b'", "messages": [1]}', "invalid_field"),
    ],
    ids=[
        "empty",
        "truncated",
        "deeply nested",
        "not UTF-8",
        "duplicate key",
        "duplicate key, escaped",
        "not an object",
        "no model",
        "model not a string",
        "no prompt",
        "hostile structure",
        "long model name",
    ],
)
async def test_a_bad_body_is_a_400_that_says_what_is_wrong(gateway, session, body, code):
    assert await send(session, gateway, body) == (400, code)


async def test_a_body_past_the_bound_is_413(start_gateway, session):
    rig = await start_gateway(settings={"body": {"maxBytes": 100_000}})
    content = "x" * 200_000
    body = json.dumps(CHAT | {"messages": [{"role": "user", "content": content}]}).encode()
    assert await send(session, rig, body) == (413, "body_too_large")
    assert (await send(session, rig, json.dumps(CHAT).encode()))[0] == 200


async def test_requests_without_a_body_and_unknown_paths(gateway, session):
    async with session.get(f"{gateway.url}/v1/chat/completions") as answer:
        assert answer.status == 405
    async with session.post(f"{gateway.url}/v1/chat/completions", headers=JSON) as answer:
        assert answer.status == 400
    async with session.get(f"{gateway.url}/nowhere") as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (404, "unknown_path")
    assert await send(session, gateway, b"--x--", **{"content-type": "multipart/form-data"}) == (
        415,
        "unsupported_media_type",
    )


async def test_other_paths_can_be_forwarded_to_a_pool(start_gateway, session):
    rig = await start_gateway(settings={"otherPaths": {"action": "forward", "pool": "default/small"}})
    async with session.get(f"{rig.url}/version") as answer:
        assert (answer.status, await answer.json()) == (200, {"version": "0.32.0"})


async def test_a_client_that_leaves_mid_body_leaves_nothing_behind(gateway):
    host, port = gateway.gateway.address.split(":")
    runtime = gateway.runtime
    for _ in range(10):
        _, writer = await asyncio.open_connection(host, int(port))
        head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        writer.write(f"{head}content-length: 1000000\r\n\r\n".encode() + b'{"model": "small", ')
        await writer.drain()
        await gateway.until(lambda: runtime.processor.open_streams > 0)
        writer.close()
        await writer.wait_closed()
        await gateway.until(lambda: runtime.processor.open_streams == 0)
    assert runtime.bodies.held_bytes == 0
    assert len(runtime.state.ledger) == 0


async def test_those_who_announce_much_and_send_nothing_are_in_nobodys_way(start_gateway, session):
    mib = 1 << 20
    body = {"maxBytes": 4 * mib, "maxTotalBytes": 8 * mib}
    rig = await start_gateway(settings={"transport": "builtin", "body": body})
    host, port = rig.gateway.address.split(":")
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    idle = []
    for _ in range(4):
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"{head}content-length: {4 * mib}\r\n\r\n".encode())
        await writer.drain()
        idle.append(writer)
    await rig.until(lambda: rig.runtime.processor.open_streams == 4)
    large = json.dumps(CHAT).encode() + b" " * 3 * mib
    assert (await send(session, rig, large))[0] == 200
    for one in idle:
        one.close()
    await rig.until(lambda: not rig.runtime.processor.open_streams)
    assert rig.runtime.bodies.expected_bytes == rig.runtime.bodies.held_bytes == 0


async def test_large_bodies_that_come_together_take_their_turns(start_gateway, session):
    mib = 1 << 20
    body = {"maxBytes": 4 * mib, "maxTotalBytes": 8 * mib}
    rig = await start_gateway(settings={"transport": "builtin", "body": body})
    large = json.dumps(CHAT).encode() + b" " * 3 * mib
    answers = await asyncio.gather(*(send(session, rig, large) for _ in range(8)))
    assert {answer[0] for answer in answers} <= {200, 503}
    assert [answer[0] for answer in answers].count(200) >= 2
    assert rig.runtime.bodies.expected_bytes == rig.runtime.bodies.held_bytes == 0


async def test_on_grpcio_large_bodies_that_do_not_fit_are_refused_before_they_come(start_gateway, session):
    """Nor are those who announce much and send nothing in the way of small requests."""
    mib = 1 << 20
    body = {"maxBytes": 4 * mib, "maxTotalBytes": 8 * mib}
    rig = await start_gateway(settings={"transport": "grpcio", "body": body})
    host, port = rig.gateway.address.split(":")
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    idle = []
    for length in (f"content-length: {4 * mib}", "transfer-encoding: chunked"):
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"{head}{length}\r\n\r\n".encode())
        await writer.drain()
        idle.append(writer)
    await rig.until(lambda: rig.runtime.bodies.expected_bytes == 8 * mib)
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"{head}content-length: {2 * mib}\r\n\r\n".encode())
    assert b" 503 " in await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    assert (await send(session, rig, json.dumps(CHAT).encode()))[0] == 200
    for one in idle:
        one.close()
    await rig.until(lambda: not rig.runtime.processor.open_streams)
    assert rig.runtime.bodies.expected_bytes == rig.runtime.bodies.held_bytes == 0
    large = json.dumps(CHAT).encode() + b" " * 2 * mib
    assert (await send(session, rig, large))[0] == 200


async def test_many_small_bodies_of_unknown_length_are_all_served(gateway, session):
    """Each counts as the largest there may be until it has come, so most wait a moment."""

    async def pieces() -> AsyncIterator[bytes]:
        yield json.dumps(CHAT).encode()

    async def one() -> int:
        url = f"{gateway.url}/v1/chat/completions"
        async with session.post(url, data=pieces(), headers=JSON) as answer:
            await answer.read()
            return answer.status

    assert set(await asyncio.gather(*(one() for _ in range(80)))) == {200}
    assert gateway.runtime.bodies.expected_bytes == 0


async def test_nothing_leaks_over_many_good_and_bad_requests(gateway, session):
    good = json.dumps(CHAT).encode()
    await asyncio.gather(*(send(session, gateway, good) for _ in range(10)))
    await gateway.until(lambda: len(gateway.runtime.state.ledger) == 0)
    tasks = len(asyncio.all_tasks())
    for _ in range(5):
        bodies = [good, b"{", b"[" * 5000] * 20
        await asyncio.gather(*(send(session, gateway, body) for body in bodies))
    runtime = gateway.runtime
    await gateway.until(lambda: len(runtime.state.ledger) == 0 and not runtime.processor.open_streams)
    await gateway.until(lambda: len(asyncio.all_tasks()) <= tasks + 2)
    assert gateway.runtime.bodies.held_bytes == 0


@pytest.mark.alone
async def test_an_eight_megabyte_body_delays_others_by_less_than_100_ms(gateway, session):
    large = json.dumps(CHAT | {"messages": [{"role": "user", "content": "lorem ipsum. " * 660_000}]}).encode()
    assert len(large) > 8 << 20
    delays: list[float] = []
    done = asyncio.Event()

    async def watch_the_loop() -> None:
        while not done.is_set():
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            delays.append(time.perf_counter() - began - 0.001)

    watching = asyncio.create_task(watch_the_loop())
    pipeline = gateway.runtime.deciding.pipeline
    await asyncio.sleep(0.1)
    delays.clear()
    for _ in range(3):
        exchange = Exchange(_head())
        await pipeline.begin(exchange)
        exchange.received(large)
        await pipeline.decide(exchange)
        pipeline.abandon(exchange, Outcome.abandoned())
        await asyncio.sleep(0.02)
    done.set()
    await watching
    assert max(delays) < 0.1, f"{max(delays) * 1000:.0f} ms"


def _head():
    from pilotage_extproc.domain.head import RequestHead

    return RequestHead("POST", "/v1/chat/completions", {"content-type": "application/json"})
