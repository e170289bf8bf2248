"""Time to first token: measured to the first byte of the body, against the client's clock."""

import asyncio
import time

import pytest
from envoy_rig import CHAT_BODY, Received, chunk, fixed, pick, stream_head


@pytest.mark.alone
async def test_ttft_is_the_clients_and_not_that_of_early_headers(start_rig, start_server):
    async def prefill(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head())
        await writer.drain()
        await asyncio.sleep(0.4)
        writer.write(chunk(b"data: first\n\n"))
        await writer.drain()
        await asyncio.sleep(0.2)
        writer.write(chunk(b"data: last\n\n") + chunk(b""))

    server = await start_server(prefill)
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    began = time.monotonic()
    async with rig.session.post(rig.url + "/v1/chat/completions", json=CHAT_BODY) as answer:
        await answer.content.readuntil(b"\n\n")
        first = time.monotonic() - began
        await answer.read()
        whole = time.monotonic() - began
    [logged] = await rig.logged()
    print(first, logged.outcome.ttft_seconds, whole, logged.outcome.duration_seconds)
    assert logged.outcome.ttft_seconds == pytest.approx(first, abs=0.05)
    assert logged.outcome.duration_seconds == pytest.approx(whole, abs=0.05)
    assert logged.outcome.ttft_seconds > 0.4


@pytest.mark.alone
async def test_ttft_of_a_retried_request_counts_from_its_first_byte(start_rig, start_server):
    async def late_error(_request: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)
        writer.write(b"HTTP/1.1 503 X\r\ncontent-length: 2\r\n\r\n{}")

    failing, working = await start_server(late_error), await start_server(fixed(200, b"{}"))
    addresses = [failing.address, working.address]
    rig = await start_rig(lambda head, body: pick(*addresses), addresses)
    await rig.chat()
    [logged] = await rig.logged()
    assert logged.outcome.ttft_seconds is not None
    assert 0.3 < logged.outcome.ttft_seconds < 0.5


async def test_a_request_that_no_server_answered_has_no_ttft(start_rig):
    rig = await start_rig(lambda head, body: pick("127.0.0.1:9"), [])
    await rig.chat()
    [logged] = await rig.logged()
    assert logged.outcome.ttft_seconds is None


async def test_a_client_that_leaves_is_logged_with_its_flag(start_rig, start_server):
    gone = asyncio.Event()

    async def slow(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head() + chunk(b"data: 1\n\n"))
        while not writer.transport.is_closing():
            await asyncio.sleep(0.01)
            writer.write(chunk(b"data: more\n\n"))
        gone.set()

    server = await start_server(slow)
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    async with rig.session.post(rig.url + "/v1/chat/completions", json=CHAT_BODY) as answer:
        await answer.content.readuntil(b"\n\n")
    [logged] = await rig.logged()
    assert "downstream_connection_termination" in logged.outcome.response_flags
    async with asyncio.timeout(30):
        await gone.wait()  # the model server learns of it and can stop decoding
