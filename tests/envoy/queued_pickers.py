"""Picker processes with a floor, a queue and a Valkey behind a real Envoy, before an engine that is full."""

import asyncio
import json
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import openai
import redis
import yaml
from aiohttp import ClientError, ClientSession
from free_ports import free_ports
from scripted_server import ModelServer, Received, fixed
from typer.testing import CliRunner
from valkey_server import ValkeyServer

from pilotage_api.settings import GatewaySettings
from pilotage_cli.gateway.envoy import EnvoyProcess
from pilotage_cli.main import application
from pilotage_extproc.envoy.xds.bootstrap import build_bootstrap

AT_ONCE = 2
PRICING = {"inputPerMillion": "1", "outputPerMillion": "2"}
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 30, "completion_tokens": 1, "total_tokens": 31},
}


class FullEngine:
    """Runs two requests at once, queues the rest, and ends none until it is told to."""

    def __init__(self) -> None:
        self.server = ModelServer(self._answer)
        self.received: list[Received] = []
        self.answers = asyncio.Event()
        self._running = self._done = 0
        self._places = asyncio.Semaphore(AT_ONCE)

    async def _answer(self, request: Received, writer: asyncio.StreamWriter) -> None:
        if request.path == "/metrics":
            waiting = len(self.received) - self._running - self._done
            shown = {"num_requests_running": self._running, "num_requests_waiting": waiting}
            lines = [f'vllm:{name}{{model_name="m"}} {count}' for name, count in shown.items()]
            page = "\n".join([*lines, 'vllm:kv_cache_usage_perc{model_name="m"} 0.1', ""]).encode()
            await fixed(200, page, "text/plain")(request, writer)
            return
        self.received.append(request)
        async with self._places:
            self._running += 1
            await self.answers.wait()
            self._running -= 1
            self._done += 1
        await fixed(200, json.dumps(ANSWER).encode())(request, writer)


class QueuedPickers:
    """One gateway; its pickers are killed as `kill -9` does."""

    def __init__(self, folder: Path, pickers: int) -> None:
        self._folder = folder
        self._count = pickers
        self.engine = FullEngine()
        self.valkey = ValkeyServer()
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._started = 0

    async def start(self) -> None:
        self.valkey.start()
        await self.engine.server.start()
        self._grpc, self._admin = free_ports(self._count), free_ports(self._count)
        keys = self._folder / "keys.json"
        made = CliRunner().invoke(application(), ["keys", "create", "--tenant", "acme", "--file", str(keys)])
        self._key = made.stdout.strip()
        settings = {
            "governance": {
                "identity": {"apiKeys": {"file": str(keys)}},
                "store": {"valkey": {"address": f"127.0.0.1:{self.valkey.port}"}},
            }
        }
        self._write(settings)
        for index in range(self._count):
            await self.start_picker(index)
        bootstrap = build_bootstrap(
            GatewaySettings.model_validate(settings),
            envoy_name="queued",
            extproc=("127.0.0.1", self._grpc[0]),
            peers=[("127.0.0.1", port) for port in self._grpc[1:]],
            gateway=("127.0.0.1", 0),
            admin=("127.0.0.1", 0),
        )
        self._envoy = EnvoyProcess(bootstrap, concurrency=1)
        await self._envoy.start()
        await self._envoy.wait_ready()
        port = (await self._envoy.listener_ports())["gateway"]
        self.client = openai.AsyncOpenAI(
            base_url=f"http://127.0.0.1:{port}/v1", api_key=self._key, max_retries=0, timeout=60
        )
        self.session = ClientSession()

    def _write(self, settings: dict[str, Any]) -> None:
        host, _, port = self.engine.server.address.rpartition(":")
        pool = {
            "engine": "vllm",
            "endpoints": [{"address": host, "port": int(port)}],
            "models": [{"name": "m", "contextWindow": 8192, "maxOutputTokens": 100, "pricing": PRICING}],
            "admission": {"queueDepth": 1},
        }
        policy = {
            "match": {"models": ["auto"]},
            "rules": [{"candidates": [{"model": "m"}]}],
            "queue": {"maxWait": "60s"},
            "governance": {
                "limits": [{"per": "policy", "concurrent": 500}],
                "budgets": [{"per": "tenant", "period": "month", "usd": "1000", "mode": "hard"}],
            },
        }
        self._manifests = self._folder / "manifests"
        self._manifests.mkdir()
        named = [
            ("GatewaySettings", None, settings),
            ("ModelPool", "m", pool),
            ("RoutePolicy", "auto", policy),
        ]
        for kind, name, spec in named:
            whole = {"apiVersion": "pilotage.dev/v1alpha1", "kind": kind, "spec": spec}
            if name is not None:
                whole["metadata"] = {"name": name}
            path = self._manifests / ("pilotage.yaml" if name is None else f"{name}.yaml")
            path.write_text(yaml.safe_dump(whole))

    async def start_picker(self, index: int) -> None:
        self._started += 1
        command = [sys.executable, "-c", "from pilotage_cli.main import run; run()", "extproc"]
        command += ["-f", str(self._manifests), "--process-id", f"picker{index}-{self._started}"]
        command += ["--extproc-listen", f"127.0.0.1:{self._grpc[index]}"]
        command += ["--admin", f"127.0.0.1:{self._admin[index]}", "--log-level", "warning"]
        for other, port in enumerate(self._grpc):
            if other != index:
                command += ["--peer", f"127.0.0.1:{port}"]
        self._processes[index] = await asyncio.create_subprocess_exec(*command, env=dict(os.environ))

    async def kill_picker(self, index: int) -> None:
        self._processes[index].send_signal(signal.SIGKILL)
        await self._processes[index].wait()

    async def stop(self) -> None:
        if hasattr(self, "session"):
            await self.session.close()
            await self.client.close()
        if hasattr(self, "_envoy"):
            await self._envoy.stop()
        for process in self._processes.values():
            if process.returncode is None:
                process.kill()
                await process.wait()
        self.engine.answers.set()
        await self.engine.server.stop()
        self.valkey.kill()

    async def ask(self) -> int | openai.APIError:
        """200, or the client's typed error."""
        try:
            await self.client.chat.completions.create(
                model="auto", messages=[{"role": "user", "content": "hello"}], max_tokens=5
            )
        except openai.APIError as error:
            return error
        return 200

    async def is_back(self, index: int) -> bool:
        """Whether Envoy reaches a picker that knows its clients, and this one its store."""
        try:
            known = bool((await self.client.models.list()).data)
        except openai.APIError:
            return False
        return known and "pilotage_ledger_store_away 0.0" in await self._page(index)

    async def until_served(self) -> None:
        """Every picker takes part; what it had to wait for is answered."""
        self.engine.answers.set()
        async with asyncio.timeout(90):
            while not all([await self._admits(index) for index in range(self._count)]):
                await self.ask()
                await asyncio.sleep(0.1)
        self.engine.answers.clear()

    async def _admits(self, index: int) -> bool:
        page = await self._page(index)
        return (
            bool(re.search(r'^pilotage_requests_total\{outcome="placed".* [1-9]', page, re.MULTILINE))
            and "pilotage_ledger_store_away 0.0" in page
        )

    async def queued(self, index: int) -> int:
        """Requests that wait at a picker."""
        found = re.search(r"^pilotage_pool_queue_requests\{.*\} (\d+)", await self._page(index), re.MULTILINE)
        return 0 if found is None else int(found[1])

    async def fill(self, each: int) -> list[asyncio.Task[int | openai.APIError]]:
        """Requests until so many wait at each picker."""
        asked: list[asyncio.Task[int | openai.APIError]] = []
        async with asyncio.timeout(60):
            while min([await self.queued(index) for index in range(self._count)]) < each:
                asked.append(asyncio.create_task(self.ask()))
                await asyncio.sleep(0.1)
        return asked

    async def _page(self, index: int) -> str:
        try:
            async with self.session.get(f"http://127.0.0.1:{self._admin[index]}/metrics") as answer:
                return await answer.text()
        except ClientError:
            return ""

    def held(self) -> tuple[int, int]:
        """Nano-dollars that the budget holds, and requests that hold a place."""
        client = redis.Redis(port=self.valkey.port, socket_timeout=5)
        try:
            budgets = [one for one in client.keys("pilotage:*:b:*") if one[-2:] not in (b":a", b":l")]
            money = sum(int(client.hget(one, "h") or 0) for one in budgets)
            places = sum(
                client.zcount(one, time.time() * 1000, "+inf") for one in client.keys("pilotage:*:c:*")
            )
            return money, places
        finally:
            client.close()

    async def until_nothing_is_held(self) -> None:
        async with asyncio.timeout(40):
            while self.held() != (0, 0):
                await asyncio.sleep(0.1)
