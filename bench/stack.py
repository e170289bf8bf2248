"""Starts what is measured: upstream, picker (floor or Pilotage), and one Envoy before it."""

import asyncio
import json
import os
import socket
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp

from bench import rival
from bench.upstream import addresses
from pilotage_api.settings import GatewaySettings, TlsSettings
from pilotage_cli.gateway.envoy import EnvoyProcess
from pilotage_extproc.envoy.xds.bootstrap import build_bootstrap

FLOOR, FLOOR_WITHOUT_LOG, PILOTAGE = "floor", "floor without log", "pilotage"
FLOOR_ON_GRPCIO, PILOTAGE_ON_GRPCIO = "floor on grpcio", "pilotage on grpcio"
BEFORE = "before"
"""Pilotage of another checkout, whose `pilotage` command is `BENCH_BEFORE`."""
RIVAL = "rival"
"""Another project's picker: see `bench.rival`."""
_OURS = (PILOTAGE, PILOTAGE_ON_GRPCIO, BEFORE)
REAL_PAGE = Path(__file__).parents[1] / "tests/fixtures/vllm-0.32/metrics_under_load_lora.prom"
_TICK = os.sysconf("SC_CLK_TCK")
_POOL = """\
apiVersion: pilotage.dev/v1alpha1
kind: ModelPool
metadata: {name: bench-%d}
spec:
  engine: %s
  endpoints: %s
  models: [{name: llama, aliases: [small]}]
---
"""
_POLICY = """\
apiVersion: pilotage.dev/v1alpha1
kind: RoutePolicy
metadata: {name: auto}
spec:
  match: {models: [auto]}
  rules: [{candidates: [{model: small}]}]
"""
_CONDITIONS = ("request.turns > %d", "request.contextTokens > %d00000", "size(request.toolNames) > %d")
_SETTINGS = """\
apiVersion: pilotage.dev/v1alpha1
kind: GatewaySettings
spec: {transport: %s%s}
"""
_TLS = ", tls: {extproc: self-signed}"
_MOST_A_POOL = 4000


def manifest(count: int, port: int, engine: str = "vllm", *, ten_rules: bool = False) -> str:
    """Pools with so many endpoints together, all of one model, and a policy.

    With `ten_rules` its one rule comes after nine that read three features and do not hold.
    """
    endpoints = [{"address": host, "port": port} for host in addresses(count)]
    pools = [
        _POOL % (start, engine, json.dumps(endpoints[start : start + _MOST_A_POOL]))
        for start in range(0, count, _MOST_A_POOL)
    ]
    if not ten_rules:
        return "".join(pools) + _POLICY
    rules = [
        {"when": _CONDITIONS[number % 3] % (number + 2), "candidates": [{"model": "small"}]}
        for number in range(9)
    ]
    rules.append({"candidates": [{"model": "small"}]})
    return "".join(pools) + _POLICY.replace("[{candidates: [{model: small}]}]", json.dumps(rules))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def cpu_seconds(pid: int) -> float:
    """CPU a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def rss_bytes(pid: int) -> int:
    """Memory a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@dataclass
class Stack:
    """One picker behind one Envoy with one worker."""

    kind: str
    endpoints: int
    chunks: int = 0
    real_page: bool = False
    """Whether metrics pages are a real vLLM's, 52 KB, instead of short ones."""
    engine: str = "vllm"
    full_duplex: bool = False
    """Whether Envoy asks as other gateways do: bodies full-duplex, no access log, no name."""
    ten_rules: bool = False
    tls: bool = False
    """Whether Envoy asks the picker over TLS."""
    children: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self.folder = tempfile.TemporaryDirectory(prefix="pilotage-bench-")
        upstream, picker, self.admin_port = free_port(), free_port(), free_port()
        more = ["--chunks", str(self.chunks)] if self.chunks else []
        more += ["--page", str(REAL_PAGE)] if self.real_page else []
        await self._child("bench.upstream", str(upstream), str(self.endpoints), *more)
        transport = "grpcio" if self.kind in (FLOOR_ON_GRPCIO, PILOTAGE_ON_GRPCIO) else "builtin"
        if self.kind in _OURS:
            self.picker = await self._pilotage(picker, upstream, transport)
        elif self.kind == RIVAL:
            clusters = free_port()
            await self._child("bench.clusters", str(clusters), str(upstream), str(self.endpoints))
            self.picker = await self._rival(picker, upstream)
        else:
            self.picker = await self._child(
                "bench.floor", str(picker), str(upstream), str(self.endpoints), transport
            )
        bootstrap = build_bootstrap(
            GatewaySettings(tls=TlsSettings(extproc="self-signed" if self.tls else None)),
            envoy_name="bench",
            extproc=("127.0.0.1", picker),
            gateway=("127.0.0.1", 0),
            admin=("127.0.0.1", 0),
        )
        if self.kind == FLOOR_WITHOUT_LOG or self.full_duplex:
            bootstrap = _without_access_log(bootstrap)
        if self.kind == RIVAL:
            bootstrap = rival.with_clusters_from(bootstrap, clusters)
        if self.full_duplex:
            bootstrap = _as_another_gateway(bootstrap)
        self.envoy = EnvoyProcess(bootstrap, concurrency=1)
        await self.envoy.start()
        await self.envoy.wait_ready()
        self.url = f"http://127.0.0.1:{(await self.envoy.listener_ports())['gateway']}"
        await self._answers()
        return self

    async def _child(self, module: str, *arguments: str) -> asyncio.subprocess.Process:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, *arguments, stdout=asyncio.subprocess.PIPE
        )
        self.children.append(child)
        assert child.stdout is not None
        async with asyncio.timeout(30):
            line = await child.stdout.readline()
        assert line == b"ready\n", f"{module} did not start"
        return child

    async def _pilotage(self, port: int, upstream: int, transport: str) -> asyncio.subprocess.Process:
        command = [sys.executable, "-c", "from pilotage_cli.main import run; run()"]
        if self.kind == BEFORE:
            command = [os.environ["BENCH_BEFORE"]]
        else:
            Path(self.folder.name, "pilotage.yaml").write_text(
                _SETTINGS % (transport, _TLS if self.tls else "")
            )
        pools = manifest(self.endpoints, upstream, self.engine, ten_rules=self.ten_rules)
        Path(self.folder.name, "pool.yaml").write_text(pools)
        child = await asyncio.create_subprocess_exec(
            *command,
            "extproc",
            *("-f", self.folder.name, "--log-level", "error"),
            *("--extproc-listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{self.admin_port}"),
            stderr=asyncio.subprocess.DEVNULL,
        )
        self.children.append(child)
        return child

    async def _rival(self, port: int, upstream: int) -> asyncio.subprocess.Process:
        endpoints = [f"{host}:{upstream}" for host in addresses(self.endpoints)]
        child = await asyncio.create_subprocess_exec(
            *rival.command(port, endpoints, Path(self.folder.name)), stderr=asyncio.subprocess.DEVNULL
        )
        self.children.append(child)
        return child

    async def _answers(self) -> None:
        """Until a request is answered."""
        body = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}
        async with aiohttp.ClientSession() as session:
            for _ in range(300):
                try:
                    async with session.post(f"{self.url}/v1/chat/completions", json=body) as answer:
                        await answer.read()
                        if answer.status == 200:
                            await asyncio.sleep(0.5)
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)
        raise RuntimeError(f"{self.kind} does not answer")

    async def scrape_interval(self, endpoints: str = "busy") -> float | None:
        """The interval in force at Pilotage's picker, for `busy` or `idle` endpoints."""
        if self.kind not in _OURS:
            return None
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self.admin_port}/metrics") as answer,
        ):
            for line in (await answer.text()).splitlines():
                if line.startswith(f'pilotage_scrape_interval_seconds{{endpoints="{endpoints}"}}'):
                    return float(line.split()[1])
        return None

    async def __aexit__(self, *_: Any) -> None:
        if hasattr(self, "envoy"):
            await self.envoy.stop()
        for child in reversed(self.children):
            child.terminate()
            await child.wait()
        self.folder.cleanup()


def _without_access_log(bootstrap: str) -> str:
    raw = json.loads(bootstrap)
    for listener in raw["staticResources"]["listeners"]:
        for chain in listener["filterChains"]:
            for one in chain["filters"]:
                one["typedConfig"].pop("accessLog", None)
    return json.dumps(raw)


def _as_another_gateway(bootstrap: str) -> str:
    """The picker's filter as third-party gateways configure it: its stream ends with the pick."""
    raw = json.loads(bootstrap)
    for listener in raw["staticResources"]["listeners"]:
        for chain in listener["filterChains"]:
            for one in chain["filters"]:
                for http in one["typedConfig"].get("httpFilters", ()):
                    if http["name"] == "envoy.filters.http.ext_proc":
                        picker = http["typedConfig"]
                        picker["grpcService"].pop("initialMetadata", None)
                        picker["processingMode"] |= {
                            "requestBodyMode": "FULL_DUPLEX_STREAMED",
                            "requestTrailerMode": "SEND",
                        }
    return json.dumps(raw)
