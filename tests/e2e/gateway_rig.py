"""Builds manifests with free ports and runs a gateway on them."""

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from free_ports import free_ports

from pilotage_api.compile import Compiled
from pilotage_api.settings import GatewaySettings, ListenSettings
from pilotage_cli.gateway.standalone import Gateway
from pilotage_sim import SimServer

TRANSPORT = os.environ.get("PILOTAGE_TEST_TRANSPORT", "builtin")
"""The gRPC server of pickers in this process."""
FREE = ListenSettings(gateway="127.0.0.1:0", extproc="127.0.0.1:0", admin="127.0.0.1:0")


def pool(name: str, ports: list[int], models: list[dict[str, Any]], **spec: Any) -> dict[str, Any]:
    """A ModelPool on this machine."""
    endpoints = [{"address": "127.0.0.1", "port": port} for port in ports]
    return {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "ModelPool",
        "metadata": {"name": name},
        "spec": {"endpoints": endpoints, "models": models, **spec},
    }


def policy(name: str, match: dict[str, Any], candidates: list[dict[str, Any]]) -> dict[str, Any]:
    """A RoutePolicy with one rule."""
    return {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "RoutePolicy",
        "metadata": {"name": name},
        "spec": {"match": match, "rules": [{"candidates": candidates}]},
    }


SMALL = [{"name": "llama-8b", "aliases": ["small"], "adapters": [{"name": "sql-lora"}]}]
STRONG = [{"name": "llama-70b", "aliases": ["strong"]}]


@dataclass
class GatewayRig:
    """A gateway on a folder of its own."""

    folder: Path
    small: int = 3
    strong: int = 0
    policies: list[dict[str, Any]] = field(default_factory=list)
    settings: Mapping[str, Any] = field(default_factory=dict)
    time_scale: float = 0.1
    pool_spec: Mapping[str, Any] = field(default_factory=dict)
    simulate: bool = True

    async def start(self) -> None:
        self.folder.mkdir()
        self.write_manifests()
        self.compiled: list[Compiled] = []
        settings = GatewaySettings.model_validate(
            {"drainSeconds": 2, "transport": TRANSPORT, **self.settings, "listen": FREE}
        )
        self.gateway = Gateway(
            self.folder,
            settings,
            simulate=self.simulate,
            sim_time_scale=self.time_scale,
            on_compiled=self.compiled.append,
            on_trouble=print,
        )
        await self.gateway.start()

    def write_manifests(self) -> None:
        """Pools with free ports, and the policies."""
        ports = free_ports(self.small + self.strong)
        self.write("small.yaml", pool("small", ports[: self.small], SMALL, **self.pool_spec))
        if self.strong:
            self.write("strong.yaml", pool("strong", ports[self.small :], STRONG, **self.pool_spec))
        for number, one in enumerate(self.policies):
            self.write(f"policy-{number}.yaml", one)

    def write(self, name: str, *documents: dict[str, Any]) -> None:
        (self.folder / name).write_text(yaml.safe_dump_all(documents))

    @property
    def url(self) -> str:
        return f"http://{self.gateway.address}"

    @property
    def servers(self) -> list[SimServer]:
        assert self.gateway.simulated is not None
        return self.gateway.simulated.cluster.servers

    def servers_of(self, model: str) -> list[SimServer]:
        """The servers of a pool, by the model it serves."""
        return [server for server in self.servers if model in server.models]

    @property
    def runtime(self) -> Any:
        return self.gateway.server.runtime

    def decisions(self, limit: int = 100) -> list[dict[str, Any]]:
        return json.loads(self.gateway.server.view.recent_decisions(limit))["decisions"]

    async def settled_decision(self) -> dict[str, Any]:
        """The last decision once its outcome is known."""
        await self.until(lambda: bool(self.decisions(1)) and self.decisions(1)[0]["outcome"] is not None)
        return self.decisions(1)[0]

    async def until(self, true: Callable[[], bool], seconds: float = 30.0) -> None:
        """Wait for something that other processes make true."""
        until = asyncio.get_running_loop().time() + seconds
        while not true():
            assert asyncio.get_running_loop().time() < until, "did not become true in time"
            await asyncio.sleep(0.02)

    async def recompiled(self, count: int) -> None:
        """Until the folder has been compiled so many times."""
        await self.until(lambda: len(self.compiled) >= count)

    async def stop(self) -> None:
        if hasattr(self, "gateway"):
            await self.gateway.stop()
