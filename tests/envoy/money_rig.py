"""Two picker processes and a real Valkey behind a real Envoy, before a model server with books of its own."""

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import redis
import yaml
from free_ports import free_ports
from money_engine import PRICING, TEXTS, MoneyEngine
from tcp_proxy import TcpProxy
from valkey_server import ValkeyServer

from pilotage_api.settings import GatewaySettings
from pilotage_cli.gateway.envoy import EnvoyProcess
from pilotage_extproc.envoy.xds.bootstrap import build_bootstrap


class Booked(NamedTuple):
    """Nano-dollars of the one budget there is."""

    settled: int
    estimated: int
    held: int


class MoneyRig:
    """A hard budget, a limit of requests under way, and what can go wrong with either."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.engine = MoneyEngine()
        self.valkey = ValkeyServer()
        self.processes: list[asyncio.subprocess.Process] = []
        self._texts = cycle(TEXTS)

    async def start(self) -> None:
        self.valkey.start()
        self.proxy = await TcpProxy(self.valkey.port).__aenter__()
        """The way of the second picker to the store."""
        await self.engine.server.start()
        self.grpc, self.admin = free_ports(2), free_ports(2)
        stores = [self.valkey.port, int(self.proxy.server.rpartition(":")[2])]
        for index, port in enumerate(stores):
            self._write(index, port)
            await self.start_picker(index)
        bootstrap = build_bootstrap(
            GatewaySettings.model_validate(_settings(self.valkey.port)),
            envoy_name="money",
            extproc=("127.0.0.1", self.grpc[0]),
            peers=[("127.0.0.1", self.grpc[1])],
            gateway=("127.0.0.1", 0),
            admin=("127.0.0.1", 0),
        )
        self.envoy = EnvoyProcess(bootstrap, concurrency=1)
        await self.envoy.start()
        await self.envoy.wait_ready()
        self.url = f"http://127.0.0.1:{(await self.envoy.listener_ports())['gateway']}/v1/chat/completions"
        self.session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))
        await self.until_served_by_both()
        await self.until_copied_apart()

    def _write(self, index: int, port: int) -> None:
        folder = self.folder / f"p{index}"
        folder.mkdir()
        settings = {"apiVersion": "pilotage.dev/v1alpha1", "kind": "GatewaySettings", "spec": _settings(port)}
        (folder / "pilotage.yaml").write_text(yaml.safe_dump(settings))
        self.write_pricing(PRICING, index)

    def write_pricing(self, pricing: dict[str, str], *pickers: int) -> None:
        """State what tokens cost, for these pickers."""
        host, _, port = self.engine.server.address.rpartition(":")
        pool = {
            "engine": "openai",
            "endpoints": [{"address": host, "port": int(port)}],
            "models": [{"name": "m", "contextWindow": 8192, "maxOutputTokens": 1000, "pricing": pricing}],
        }
        policy = {
            "match": {"models": ["auto"]},
            "rules": [{"candidates": [{"model": "m"}]}],
            "governance": {
                "limits": [{"per": "policy", "concurrent": 500}],
                "budgets": [{"per": "policy", "period": "month", "usd": "1000", "mode": "hard"}],
            },
        }
        written = [_named("ModelPool", "m", pool), _named("RoutePolicy", "auto", policy)]
        for index in pickers:
            new = self.folder / f"p{index}.new"
            new.write_text(yaml.safe_dump_all(written))
            new.rename(self.folder / f"p{index}" / "all.yaml")

    async def start_picker(self, index: int) -> None:
        command = [sys.executable, "-c", "from pilotage_cli.main import run; run()", "extproc"]
        command += [
            "-f",
            str(self.folder / f"p{index}"),
            "--process-id",
            f"picker{index}-{len(self.processes)}",
        ]
        command += ["--extproc-listen", f"127.0.0.1:{self.grpc[index]}"]
        command += ["--admin", f"127.0.0.1:{self.admin[index]}"]
        command += ["--peer", f"127.0.0.1:{self.grpc[1 - index]}", "--log-level", "warning"]
        process = await asyncio.create_subprocess_exec(*command, env=dict(os.environ))
        self.processes[index : index + 1] = [process]

    async def kill_picker(self, index: int) -> None:
        """As `kill -9` does."""
        self.processes[index].send_signal(signal.SIGKILL)
        await self.processes[index].wait()

    async def stop(self) -> None:
        if hasattr(self, "session"):
            await self.session.close()
        if hasattr(self, "envoy"):
            await self.envoy.stop()
        for process in self.processes:
            if process.returncode is None:
                process.kill()
                await process.wait()
        await self.engine.server.stop()
        await self.proxy.__aexit__(None, None, None)
        self.valkey.kill()

    async def ask(self, how: str = "whole", leave: asyncio.Event | None = None) -> int:
        """The status of one request; the client leaves as soon as `leave` is set."""
        message = {"role": "user", "content": next(self._texts)}
        body = {"model": "auto", "messages": [message], "max_tokens": 300, "stream": True, "user": how}
        try:
            async with self.session.post(self.url, json=body) as answer:
                if leave is not None and answer.status == 200:
                    await answer.content.readexactly(1000)
                    await leave.wait()
                    answer.close()
                else:
                    await answer.read()
                return answer.status
        except aiohttp.ClientPayloadError:
            return 200
        except aiohttp.ClientConnectionError:
            return 0

    async def until_served_by_both(self) -> None:
        """Both pickers take part and can ask the store."""
        async with asyncio.timeout(60):
            while not all([await self._admits(index) for index in range(2)]):
                await self.ask()
                await asyncio.sleep(0.1)

    async def _admits(self, index: int) -> bool:
        page = await self.metrics(index)
        placed = any(line.startswith('pilotage_requests_total{outcome="placed"') for line in page)
        return placed and "pilotage_ledger_store_away 0.0" in page

    async def until_copied_apart(self) -> None:
        """An entry and its copy come to different pickers, so that one may be killed."""
        async with asyncio.timeout(60):
            before = await self._copies()
            while True:
                await self.ask()
                now = await self._copies()
                if now["apart"] > before["apart"] and now["together"] == before["together"]:
                    return
                if now["together"] > before["together"]:
                    before = now
                await asyncio.sleep(0.1)

    async def _copies(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for line in [line for index in range(2) for line in await self.metrics(index)]:
            for kind in ("apart", "together"):
                if line.startswith(f'pilotage_ledger_copies_total{{kind="{kind}"}}'):
                    found[kind] += int(float(line.rpartition(" ")[2]))
        return found

    async def metrics(self, index: int) -> list[str]:
        try:
            async with self.session.get(f"http://127.0.0.1:{self.admin[index]}/metrics") as answer:
                return (await answer.text()).splitlines()
        except aiohttp.ClientError:
            return []

    def booked(self) -> Booked:
        """What the store has now."""
        client = redis.Redis(port=self.valkey.port, socket_timeout=5)
        try:
            [key] = [one for one in client.keys("pilotage:*:b:*") if one[-2:] not in (b":a", b":l")] or [b""]
            return Booked(*(int(one or 0) for one in client.hmget(key, "s", "e", "h")))
        finally:
            client.close()

    def under_way(self) -> int:
        """Requests that hold a place, whose lease has not ended."""
        client = redis.Redis(port=self.valkey.port, socket_timeout=5)
        try:
            keys = client.keys("pilotage:*:c:*")
            return sum(client.zcount(key, time.time() * 1000, "+inf") for key in keys)
        finally:
            client.close()

    async def until_admitted(self) -> None:
        """Requests are admitted again."""
        async with asyncio.timeout(30):
            while await self.ask() != 200:
                await asyncio.sleep(0.1)

    async def agrees(self, *, unsent: int = 0, seconds: float = 40.0) -> None:
        """Wait until the store's books agree with the engine's: settled exactly, estimates within 5%.

        At most `unsent` requests may still hold something, under a lease: they were admitted and never sent.
        """
        engine, until = self.engine, time.monotonic() + seconds
        while True:
            settled, estimated, held = self.booked()
            near = abs(estimated - engine.cut_nano) <= 0.05 * engine.cut_nano
            open_ = self.under_way()
            if settled == engine.exact_nano and near and open_ <= unsent and (held > 0) == (open_ > 0):
                return
            if time.monotonic() > until:
                kept = f"exact {engine.exact_nano} of {engine.whole}, cut {engine.cut_nano} of {engine.cut}"
                raise AssertionError(
                    f"booked {settled} and {estimated}, held {held} by {self.under_way()}; engine: {kept}"
                )
            await asyncio.sleep(0.05)


def _settings(port: int) -> dict[str, Any]:
    store = {"valkey": {"address": f"127.0.0.1:{port}", "timeoutSeconds": 1.0}, "whenAway": "refuse"}
    return {"governance": {"store": store}, "body": {"maxBytes": 1 << 20}}


def _named(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "pilotage.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
