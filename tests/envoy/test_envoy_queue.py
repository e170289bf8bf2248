"""Requests that wait at the picker, behind a real Envoy: none is timed out, lost, or held for nobody."""

import asyncio
import json
import time
from pathlib import Path

import aiohttp
import pytest
from envoy_rig import CHAT, CHAT_BODY, Received, fixed
from whole_gateway import WholeGateway

from pilotage_extproc.envoy.ext_proc import messages
from pilotage_extproc.state.waiting_line import WaitingLine

HIDDEN_TIMEOUT = {"messageTimeoutSeconds": 0.3}
"""Shorter than any wait here: Envoy would give up without being told to wait."""


class Engine:
    """Runs two requests at once and queues the rest, as its metrics say."""

    def __init__(self):
        self.waiting: list[asyncio.Event] = []
        self.running: list[asyncio.Event] = []

    def metrics(self) -> bytes:
        shown = {"running": len(self.running), "waiting": len(self.waiting)}
        lines = [f'vllm:num_requests_{name}{{model_name="m"}} {count}' for name, count in shown.items()]
        return "\n".join([*lines, 'vllm:kv_cache_usage_perc{model_name="m"} 0.1', ""]).encode()

    async def answer(self, request: Received, writer: asyncio.StreamWriter) -> None:
        if request.path == "/metrics":
            await fixed(200, self.metrics(), "text/plain")(request, writer)
            return
        done, place = asyncio.Event(), self.running if len(self.running) < 2 else self.waiting
        place.append(done)
        await done.wait()
        body = json.dumps({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}).encode()
        await fixed(200, body)(request, writer)

    def end_one(self) -> None:
        self.running.pop(0).set()
        if self.waiting:
            self.running.append(self.waiting.pop(0))

    def end_all(self) -> None:
        while self.running:
            self.end_one()


@pytest.fixture
async def start(tmp_path: Path, start_server):
    """Starts a gateway whose policy has this queue, before one such engine."""
    started: list[tuple[WholeGateway, Engine]] = []

    async def begin(*, max_wait: str = "30s", empty: bool = False):
        engine = Engine()
        server = await start_server(engine.answer)
        gateway = WholeGateway(
            tmp_path / "resources",
            {"m": [] if empty else [server]},
            {},
            pool={"engine": "vllm", "admission": {"queueDepth": 1}},
            spec={"queue": {"maxWait": max_wait}},
            drainSeconds=5,
            **HIDDEN_TIMEOUT,
        )
        await gateway.start()
        started.append((gateway, engine))
        if not empty:
            await gateway.until(lambda: bool(gateway.runtime.state.table.scraped_at[0] > 0))
        return gateway, engine, server

    yield begin
    for gateway, engine in started:
        engine.end_all()
        await gateway.stop()


async def fill(gateway: WholeGateway, engine: Engine) -> list[asyncio.Task]:
    """Requests until the engine has been seen queuing and one waits at the picker."""
    line, tasks = gateway.runtime.deciding.line, []
    async with asyncio.timeout(20):
        while not len(line):
            tasks.append(asyncio.create_task(gateway.chat()))
            await asyncio.sleep(0.15)
    return tasks


async def test_requests_wait_longer_than_envoy_s_timeout_and_are_all_answered(start):
    gateway, engine, _ = await start()
    tasks = await fill(gateway, engine)
    tasks += [asyncio.create_task(gateway.chat()) for _ in range(5)]
    line = gateway.runtime.deciding.line
    await gateway.until(lambda: len(line) >= 5)
    await asyncio.sleep(1.0)  # three times the timeout
    assert len(line) >= 5
    for _ in range(600):
        if all(task.done() for task in tasks):
            break
        if engine.running:
            engine.end_one()
        await asyncio.sleep(0.05)
    answers = await asyncio.gather(*tasks)
    assert {status for status, _, _ in answers} == {200}
    assert len(line) == 0


async def test_a_client_that_leaves_frees_its_place_at_once(start):
    gateway, engine, _ = await start()
    tasks = await fill(gateway, engine)
    line = gateway.runtime.deciding.line
    before = len(line)
    impatient = aiohttp.ClientSession()
    url = f"http://{gateway.gateway.address}{CHAT}"
    leaving = asyncio.create_task(impatient.post(url, json={**CHAT_BODY, "model": "auto"}))
    await gateway.until(lambda: len(line) == before + 1)
    leaving.cancel()
    await impatient.close()
    began = time.monotonic()
    await gateway.until(lambda: len(line) == before)
    assert time.monotonic() - began < 10.0
    engine.end_all()
    for _ in range(600):
        if all(task.done() for task in tasks):
            break
        engine.end_all()
        await asyncio.sleep(0.05)
    assert {status for status, _, _ in await asyncio.gather(*tasks)} == {200}


async def test_one_that_has_waited_for_max_wait_is_answered_503_with_retry_after(start):
    gateway, engine, _ = await start(max_wait="1s")
    await fill(gateway, engine)
    status, headers, body = await gateway.chat()
    assert status == 503
    assert headers["x-pilotage-reason"] == "queue_timeout"
    assert int(headers["retry-after"]) >= 1
    assert json.loads(body)["error"]["code"] == "queue_timeout"


async def test_a_picker_that_hangs_goes_unnoticed_for_max_wait_and_envoy_s_timeout(start, monkeypatch):
    gateway, engine, _ = await start(max_wait="1s")
    await fill(gateway, engine)
    # as one that hangs: it says nothing any more to who waits
    monkeypatch.setattr(WaitingLine, "expire", lambda line, waiter: None)
    began = time.monotonic()
    status, _, _ = await gateway.chat()
    assert status in (500, 504)
    assert 1.2 <= time.monotonic() - began < 3.0
    monkeypatch.undo()
    line = gateway.runtime.deciding.line
    await gateway.until(lambda: not len(line))


async def test_envoy_is_asked_once_to_wait_however_often_a_request_has_its_turn(start, monkeypatch):
    asked: list[float] = []
    wait_for = messages.wait_for

    def counted(seconds):
        asked.append(seconds)
        return wait_for(seconds)

    monkeypatch.setattr(messages, "wait_for", counted)
    gateway, engine, _ = await start(max_wait="20s")
    tasks = await fill(gateway, engine)
    line, room = gateway.runtime.deciding.line, gateway.runtime.deciding.room
    queued = len(line)
    monkeypatch.setattr(room, "_total", lambda pools: 1.0)  # turns that come to nothing
    turns = line._round
    await gateway.until(lambda: line._round > turns + 5)
    assert len(asked) == queued == len(line)
    assert asked[0] == pytest.approx(20.3)
    monkeypatch.undo()
    for _ in range(600):
        if all(task.done() for task in tasks):
            break
        engine.end_all()
        await asyncio.sleep(0.05)
    assert {status for status, _, _ in await asyncio.gather(*tasks)} == {200}


async def test_those_that_wait_when_the_picker_drains_are_answered_503_at_once(start):
    gateway, engine, _ = await start()
    await fill(gateway, engine)
    line = gateway.runtime.deciding.line
    before = len(line)
    task = asyncio.create_task(gateway.chat())
    await gateway.until(lambda: len(line) == before + 1)
    draining = asyncio.create_task(gateway.gateway.server.drain())
    status, headers, body = await asyncio.wait_for(task, 20)
    assert (status, headers["retry-after"]) == (503, "1")
    assert headers["x-pilotage-reason"] == "gateway_draining"
    assert json.loads(body)["error"]["code"] == "gateway_draining"
    await draining


async def test_a_model_without_servers_holds_a_request_until_one_is_there(start, tmp_path):
    gateway, engine, server = await start(empty=True)
    task = asyncio.create_task(gateway.chat())
    line = gateway.runtime.deciding.line
    await gateway.until(lambda: len(line) == 1)
    page = gateway.gateway.server.view.metrics().decode()
    assert 'pilotage_pool_queue_requests{pool="default/m"} 1.0' in page
    assert "pilotage_pool_saturation{" not in page
    host, _, port = server.address.rpartition(":")
    file = tmp_path / "resources" / "all.yaml"
    file.write_text(
        file.read_text().replace("endpoints: []", f"endpoints: [{{address: {host}, port: {port}}}]")
    )
    await gateway.until(lambda: bool(engine.running), 10)
    engine.end_all()
    status, _, _ = await task
    assert status == 200
