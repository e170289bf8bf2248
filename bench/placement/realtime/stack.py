"""Starts what one real-time run needs: servers, Envoy, and Pilotage's picker where it balances."""

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Self

import aiohttp
import yaml

from bench.placement.constants import MODEL, SCRAPE_INTERVAL_SECONDS
from bench.placement.pilotage import Pilotage
from bench.placement.realtime.envoy import plain_bootstrap, with_served_by
from bench.placement.shapes import adapter_names
from bench.placement.workloads import Workload
from bench.stack import cpu_seconds, free_port
from pilotage_api.settings import GatewaySettings
from pilotage_cli.gateway.envoy import EnvoyProcess
from pilotage_extproc.envoy.xds.bootstrap import build_bootstrap

_START_SECONDS = 60


class RealStack:
    """One balancer before the servers of one workload. The picker scrapes once in so much simulated time."""

    def __init__(self, workload: Workload, balancer: str, servers: int, time_scale: float) -> None:
        self._workload = workload
        self._balancer = balancer
        self._count = servers
        self._time_scale = time_scale
        self._children: list[asyncio.subprocess.Process] = []
        self._envoy: EnvoyProcess | None = None
        self.servers: list[str] = []
        self.url = ""

    async def __aenter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="pilotage-placement-")
        try:
            await self._start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def _start(self) -> None:
        child = await self._child(
            "-m", "bench.placement.realtime.servers", self._workload.name, str(self._count),
            str(self._time_scale),
        )  # fmt: skip
        assert child.stdout is not None
        async with asyncio.timeout(_START_SECONDS):
            self.servers = json.loads(await child.stdout.readline())
        if self._balancer == Pilotage.name:
            bootstrap = await self._picker()
        else:
            bootstrap = plain_bootstrap(self._balancer, self.servers)
        self._envoy = EnvoyProcess(bootstrap, concurrency=1)
        await self._envoy.start()
        await self._envoy.wait_ready()
        self.url = f"http://127.0.0.1:{(await self._envoy.listener_ports())['gateway']}"
        await self._answers()

    def cpu_seconds(self) -> float:
        """CPU that servers, Envoy and picker have used."""
        pids = [child.pid for child in self._children]
        if self._envoy is not None:
            pids.append(self._envoy.pid)
        return sum(map(cpu_seconds, pids))

    async def _child(self, *arguments: str) -> asyncio.subprocess.Process:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=None if arguments[0] == "-m" else asyncio.subprocess.DEVNULL,
        )
        self._children.append(child)
        return child

    async def _picker(self) -> str:
        """Pilotage's own process, as `pilotage extproc` starts it, with times stretched like the servers'."""
        folder, port, admin = Path(self._folder.name), free_port(), free_port()
        endpoints = [
            {"address": host, "port": int(number)}
            for host, number in (one.split(":") for one in self.servers)
        ]
        adapters = [{"name": name} for name in adapter_names(self._workload.shape, self._count)]
        pool = {
            "apiVersion": "pilotage.dev/v1alpha1",
            "kind": "ModelPool",
            "metadata": {"name": "bench"},
            "spec": {"endpoints": endpoints, "models": [{"name": MODEL, "adapters": adapters}]},
        }
        defaults = GatewaySettings().scrape
        settings = {
            "apiVersion": "pilotage.dev/v1alpha1",
            "kind": "GatewaySettings",
            "spec": {
                "scrape": {
                    "intervalSeconds": SCRAPE_INTERVAL_SECONDS * self._time_scale,
                    "staleAfterSeconds": defaults.stale_after_seconds * self._time_scale,
                }
            },
        }
        folder.joinpath("pool.yaml").write_text(yaml.safe_dump(pool))
        folder.joinpath("pilotage.yaml").write_text(yaml.safe_dump(settings))
        await self._child(
            "-c", "from pilotage_cli.main import run; run()",
            "extproc", "-f", str(folder), "--log-level", "error",
            "--extproc-listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}",
        )  # fmt: skip
        bootstrap = build_bootstrap(
            GatewaySettings(),
            envoy_name="bench",
            extproc=("127.0.0.1", port),
            gateway=("127.0.0.1", 0),
            admin=("127.0.0.1", 0),
        )
        return with_served_by(bootstrap)

    async def _answers(self) -> None:
        """Until a request is answered."""
        body = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
        async with aiohttp.ClientSession() as session:
            for _ in range(300):
                try:
                    async with session.post(f"{self.url}/v1/chat/completions", json=body) as answer:
                        await answer.read()
                        if answer.status == 200:
                            await asyncio.sleep(1.0)
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)
        raise RuntimeError(f"{self._balancer} does not answer")

    async def __aexit__(self, *_: Any) -> None:
        if self._envoy is not None:
            await self._envoy.stop()
        for child in reversed(self._children):
            if child.returncode is None:
                child.terminate()
            await child.wait()
        self._folder.cleanup()
