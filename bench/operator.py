"""From an applied policy to pickers that follow it: python -m bench.operator [--samples N] [--out FILE].

A real API server, the real operator as a process of its own, and a real picker in this process. Timed from
before the request that changes a policy: until the picker decides by the new snapshot, and until the
policy's status says that every picker follows it.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from pilotage_api.settings import GatewaySettings
from pilotage_cli.gateway.cluster import ClusterPicker
from pilotage_kube.client import ApiClient
from pilotage_kube.informer import Change, Informer
from pilotage_kube.resource import MODEL_POOLS, ROUTE_POLICIES
from pilotage_kube.testing import ControlPlane
from pilotage_kube.wire import whole_object

ROOT = Path(__file__).parents[1]
COUNTS = (10, 2000)
POOLS = 20
PICKER = GatewaySettings.model_validate(
    {
        "listen": {"extproc": "127.0.0.1:0", "admin": "127.0.0.1:0"},
        "kubernetes": {"namespace": "default"},
    }
)


class Watched:
    """When the picker decided by each model pattern, and when each generation of a policy was programmed."""

    def __init__(self, client: ApiClient, picker: ClusterPicker) -> None:
        self.models: dict[str, float] = {}
        self.programmed: dict[tuple[str, int], float] = {}
        self._picker = picker
        self._version = ""
        self._policies = Informer(
            client, ROUTE_POLICIES, whole_object, namespace="default", on_change=self._changed
        )

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._policies.run())
            while True:
                await asyncio.sleep(0.002)
                snapshot = self._picker.server.runtime.following.snapshot
                if snapshot.version != self._version:
                    self._version, now = snapshot.version, time.monotonic()
                    for route in snapshot.routes:
                        self.models.setdefault(str(route.model), now)

    def _changed(self, change: Change[dict[str, Any]]) -> None:
        for one in change.value.get("status", {}).get("conditions", []):
            if one["type"] == "Programmed" and one["status"] == "True":
                key = (change.key.name, int(one["observedGeneration"]))
                self.programmed.setdefault(key, time.monotonic())


def policy(number: int, match: str) -> dict[str, Any]:
    spec = {
        "match": {"models": [match]},
        "rules": [{"candidates": [{"model": f"model-{number % POOLS}"}]}],
    }
    return ROUTE_POLICIES.object(f"policy-{number}", spec=spec)


def pool(number: int) -> dict[str, Any]:
    endpoints = [{"address": f"10.0.{number}.{host}", "port": 8000} for host in range(1, 11)]
    return MODEL_POOLS.object(
        f"pool-{number}",
        spec={"engine": "openai", "endpoints": endpoints, "models": [{"name": f"model-{number}"}]},
    )


async def apply(client: ApiClient, *bodies: dict[str, Any]) -> None:
    places = asyncio.Semaphore(8)

    async def one(body: dict[str, Any]) -> None:
        resource = MODEL_POOLS if body["kind"] == "ModelPool" else ROUTE_POLICIES
        async with places:
            await client.apply(resource, body, "default", manager="bench")

    await asyncio.gather(*(one(body) for body in bodies))


@asynccontextmanager
async def operator(plane: ControlPlane, folder: Path) -> AsyncIterator[int]:
    """The operator's process; its pid."""
    settings = folder / "pilotage.yaml"
    spec = {"listen": {"operator": "127.0.0.1:0"}, "kubernetes": {"namespace": "default"}}
    document = {"apiVersion": "pilotage.dev/v1alpha1", "kind": "GatewaySettings", "spec": spec}
    settings.write_text(yaml.safe_dump(document))
    command = [str(Path(sys.executable).parent / "pilotage"), "operator", "--settings", str(settings)]
    with (folder / "operator.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *command, "--kubeconfig", str(plane.kubeconfig), stderr=log, stdout=asyncio.subprocess.DEVNULL
        )
    try:
        yield process.pid
    finally:
        process.terminate()
        await process.wait()


def memory(pid: int) -> dict[str, float]:
    """Resident and peak memory in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    found = {line.split(":")[0]: float(line.split()[1]) / 1024 for line in lines if line.startswith("Vm")}
    return {"rss_mib": round(found["VmRSS"], 1), "peak_mib": round(found["VmHWM"], 1)}


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def until(holds: Any, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.002)


async def measure(plane: ControlPlane, client: ApiClient, count: int, samples: int, folder: Path) -> Any:
    picker = ClusterPicker(plane.connection(), PICKER, replica="bench", environment={})
    await picker.start()
    watched = Watched(client, picker)
    watching = asyncio.create_task(watched.run())
    async with operator(plane, folder) as pid:
        began = time.monotonic()
        bodies = [policy(number, f"auto-{number}") for number in range(count)]
        await apply(client, *(pool(number) for number in range(POOLS)), *bodies)
        applied = time.monotonic() - began
        await until(lambda: len(watched.models) == count, 60)
        await until(lambda: len(watched.programmed) == count, 120)
        settled = time.monotonic() - began
        await asyncio.sleep(2)
        idle_cpu = cpu_seconds(pid)
        await asyncio.sleep(5)
        idle = (cpu_seconds(pid) - idle_cpu) / 5
        published, programmed, busy = [], [], cpu_seconds(pid)
        for sample in range(samples):
            number = sample * 7919 % count
            generation = 2 + sum(earlier * 7919 % count == number for earlier in range(sample))
            match, key = f"edited-{count}-{sample}", (f"policy-{number}", generation)
            start = time.monotonic()
            await apply(client, policy(number, match))
            await until(lambda match=match: match in watched.models, 30)
            published.append(watched.models[match] - start)
            await until(lambda key=key: key in watched.programmed, 30)
            programmed.append(watched.programmed[key] - start)
            await asyncio.sleep(0.2)
        busy = (cpu_seconds(pid) - busy) / samples
        result = {
            "policies": count,
            "load_average": round(os.getloadavg()[0], 1),
            "samples": samples,
            "to_picker_seconds": spread(published),
            "to_programmed_seconds": spread(programmed),
            "cpu_seconds_per_edit": round(busy, 3),
            "idle_cores": round(idle, 4),
            "all_applied_seconds": round(applied, 1),
            "all_programmed_seconds": round(settled, 1),
            **memory(pid),
        }
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await picker.stop()
    return result


def spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    last = ordered[min(len(ordered) - 1, round(0.99 * (len(ordered) - 1)))]
    return {
        "p50": round(statistics.median(ordered), 3),
        "p99": round(last, 3),
        "max": round(ordered[-1], 3),
    }


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=40)
    parser.add_argument("--out", type=Path, default=Path("bench/results/operator.json"))
    options = parser.parse_args()
    told = subprocess.run(
        [sys.executable, ROOT / "hack" / "kube" / "assets.py", "where"],
        capture_output=True,
        text=True,
        check=True,
    )
    table = Table(title="the operator, from an applied policy")
    for heading in (
        "policies",
        "to the picker p50",
        "p99",
        "to Programmed p50",
        "p99",
        "CPU an edit",
        "memory",
    ):
        table.add_column(heading, justify="right")
    results = []
    for count in COUNTS:
        with tempfile.TemporaryDirectory(prefix="pilotage-operator-") as name:
            folder = Path(name)
            with ControlPlane(folder / "plane", assets=Path(told.stdout.strip())) as plane:
                plane.kubectl("apply", "-f", str(ROOT / "crds"))
                plane.kubectl(
                    "wait", "--for=condition=Established", "--timeout=30s", "-f", str(ROOT / "crds")
                )
                async with ApiClient(plane.connection()) as client:
                    found = await measure(plane, client, count, options.samples, folder)
        results.append(found)
        picker, programmed = found["to_picker_seconds"], found["to_programmed_seconds"]
        table.add_row(
            f"{count:,}",
            *(f"{1000 * one:.0f} ms" for one in (picker["p50"], picker["p99"], programmed["p50"])),
            f"{1000 * programmed['p99']:.0f} ms",
            f"{1000 * found['cpu_seconds_per_edit']:.0f} ms",
            f"{found['rss_mib']:.0f} MiB",
        )
    Console().print(table)
    options.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
