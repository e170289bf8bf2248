"""Discovery of thousands of pods: python -m bench.discovery [--pods N] [--seconds S] [--out FILE].

A real etcd and API server hold the pods, the real picker follows them; nothing runs in them. Measured: time
to the first full table, memory, how far a relist moves decisions, and CPU while pods come and go. Everything
shares this machine's cores, the API server included: read the figures as upper bounds.
"""

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console
from rich.table import Table

from bench.cluster_pods import NAMESPACE, churn, make
from bench.loop_holds import LoopHolds
from bench.stack import cpu_seconds, free_port, rss_bytes
from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import (
    Binding,
    EndpointSnapshot,
    Engine,
    NameKind,
    PoolSnapshot,
    RoutingSnapshot,
    StreamUsage,
)
from pilotage_cli.gateway.cluster import ClusterPicker
from pilotage_extproc.server.garbage import tune_garbage_collection
from pilotage_kube.client import ApiClient
from pilotage_kube.resource import CONFIG_MAPS
from pilotage_kube.snapshot_publisher import SnapshotPublisher
from pilotage_kube.testing import ControlPlane

_RATE = 100.0
RELIST_SECONDS = 5.0


def snapshot(*, pods: bool) -> RoutingSnapshot:
    """One pool: the pods, or one named endpoint to compare with."""
    pool = PoolSnapshot(
        key=f"{NAMESPACE}/vllm",
        engine=Engine.OPENAI,  # nobody listens there: scraping is another benchmark's subject
        endpoints=() if pods else (EndpointSnapshot(address="10.255.0.1", port=8000),),
        selector={"app": "vllm"} if pods else {},
        target_ports=(8000,) if pods else (),
        stream_usage=StreamUsage.LEAVE,
        models=("llama",),
    )
    binding = Binding(pool=pool.key, upstream_model="llama", kind=NameKind.MODEL)
    return RoutingSnapshot(pools=(pool,), names={"llama": (binding,)}).sealed()


class Way:
    """The picker's way to the API server, which can be cut."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        return int(self._server.sockets[0].getsockname()[1])

    def cut(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port, limit=1 << 20)
        self._open |= {writer, far_writer}

        async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while piece := await source.read(1 << 18):
                    sink.write(piece)
                    await sink.drain()
            sink.close()

        await asyncio.gather(pass_on(reader, far_writer), pass_on(far_reader, writer))
        self._open -= {writer, far_writer}


class Picker:
    """`pilotage extproc --kubernetes` as a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, address: str, admin: str) -> None:
        self.process, self.address, self.admin = process, address, admin

    async def until_ready(self, endpoints: int) -> None:
        """Until that many endpoints may be picked."""
        async with aiohttp.ClientSession() as session:
            while await self._ready(session) != endpoints:
                await asyncio.sleep(0.02)

    async def _ready(self, session: aiohttp.ClientSession) -> int:
        with contextlib.suppress(aiohttp.ClientError):
            async with session.get(f"http://{self.admin}/status") as answer:
                told = await answer.json()
                if told["ready"]:
                    return sum(int(pool["ready"]) for pool in told["pools"].values())
        return -1

    async def load(self, seconds: float) -> dict[str, Any]:
        """Decisions at a steady rate from another process."""
        client = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.picker_load", self.address),
            *("--rate", str(_RATE), "--seconds", str(seconds)),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await client.communicate()
        found: dict[str, Any] = json.loads(out)
        return found


@contextlib.asynccontextmanager
async def picker(plane: ControlPlane, folder: Path, way_port: int) -> AsyncIterator[Picker]:
    """One that goes to the API server by a way that can be cut."""
    config = json.loads(plane.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{way_port}"
    (folder / "kubeconfig").write_text(json.dumps(config))
    settings = {"kubernetes": {"namespace": NAMESPACE}, "publishHoldSeconds": 0}
    document = {"apiVersion": "pilotage.dev/v1alpha1", "kind": "GatewaySettings", "spec": settings}
    (folder / "pilotage.yaml").write_text(json.dumps(document))
    address, admin = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from pilotage_cli.main import run; run()", "extproc", "--kubernetes"),
        *("--settings", str(folder / "pilotage.yaml"), "--kubeconfig", str(folder / "kubeconfig")),
        *("--extproc-listen", address, "--admin", admin, "--log-level", "error", "--process-id", "bench"),
    )
    try:
        yield Picker(process, address, admin)
    finally:
        process.terminate()
        await process.wait()


async def make_relist(plane: ControlPlane, client: ApiClient, way: Way) -> None:
    """The picker's version is too old (410), so that it lists anew."""
    tick = CONFIG_MAPS.object("tick", data={"at": str(time.monotonic())})
    await client.apply(CONFIG_MAPS, tick, NAMESPACE, manager="bench")  # a version to compact at
    await asyncio.to_thread(plane.compact)
    way.cut()


async def relisting(plane: ControlPlane, client: ApiClient, way: Way) -> None:
    """Again and again, each after the one before has had its time."""
    while True:
        await make_relist(plane, client, way)
        await asyncio.sleep(RELIST_SECONDS)


async def memory_with(plane: ControlPlane, client: ApiClient, folder: Path, way: int, pods: int) -> int:
    """Bytes a picker's process holds once it has that many endpoints."""
    await SnapshotPublisher(client, namespace=NAMESPACE).publish(snapshot(pods=pods > 1))
    async with picker(plane, folder, way) as one:
        await one.until_ready(pods)
        await asyncio.sleep(2)
        return rss_bytes(one.process.pid)


async def measure(pods: int, seconds: float, *, only_holds: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="pilotage-bench-") as name:
        folder = Path(name)
        # without the watch cache every watch is etcd's own, and a compaction makes a relist certain
        plane = ControlPlane(folder / "plane", assets=assets(), apiserver_arguments=["--watch-cache=false"])
        with contextlib.ExitStack() as stack:
            await asyncio.to_thread(start_behind, plane)
            stack.callback(plane.stop)
            async with ApiClient(plane.connection(), timeout_seconds=120) as client:
                if only_holds:
                    await make(client, range(pods))
                    await SnapshotPublisher(client, namespace=NAMESPACE).publish(snapshot(pods=True))
                    return await holds(plane, client, pods)
                result = await as_process(plane, client, folder, pods, seconds)
                return result | await holds(plane, client, pods)


async def as_process(
    plane: ControlPlane, client: ApiClient, folder: Path, pods: int, seconds: float
) -> dict[str, Any]:
    """What can be seen of a picker from outside."""
    way = Way(plane.port)
    way_port = await way.start()
    alone = await memory_with(plane, client, folder, way_port, 1)
    await make(client, range(pods))
    full = await memory_with(plane, client, folder, way_port, pods)
    result: dict[str, Any] = {"pods": pods, "memory_bytes_one_endpoint": alone, "memory_bytes": full}
    async with picker(plane, folder, way_port) as one:
        await one.until_ready(pods)
        await one.load(2)
        runs: list[tuple[dict[str, Any], dict[str, Any]]] = []
        for _ in range(3):
            quiet = await one.load(seconds)
            again = asyncio.create_task(relisting(plane, client, way))
            moved = await one.load(seconds)
            again.cancel()
            await asyncio.gather(again, return_exceptions=True)
            runs.append((quiet, moved))
            await asyncio.sleep(3)
        result["quiet"], result["while_relisting"] = zip(*runs, strict=True)
        await asyncio.sleep(2)
        pid = one.process.pid
        before, began = cpu_seconds(pid), time.monotonic()
        await asyncio.sleep(seconds)
        result["idle_cores"] = (cpu_seconds(pid) - before) / (time.monotonic() - began)
        before, began = cpu_seconds(pid), time.monotonic()
        changes = await churn(client, 50, seconds)
        spent = time.monotonic() - began
        result["churn_changes_a_second"] = changes / spent
        result["churn_cores"] = (cpu_seconds(pid) - before) / spent
        churning = asyncio.create_task(churn(client, 50, seconds))
        result["while_churning"] = await one.load(seconds)
        await churning
    return result


async def holds(plane: ControlPlane, client: ApiClient, pods: int) -> dict[str, Any]:
    """What a picker in this process adds to decisions by holding its event loop, in CPU time."""
    way = Way(plane.port)
    connection = plane.connection(server=f"https://127.0.0.1:{await way.start()}")
    listen = {"extproc": "127.0.0.1:0", "admin": "127.0.0.1:0"}
    settings = GatewaySettings.model_validate(
        {"listen": listen, "publishHoldSeconds": 0, "kubernetes": {"namespace": NAMESPACE}}
    )
    one = ClusterPicker(connection, settings, replica="holds", environment={})
    began = time.monotonic()
    await one.start()
    runtime = one.server.runtime
    while sum(count.ready for count in runtime.following.pool_counts().values()) != pods:
        await asyncio.sleep(0.01)
    full = time.monotonic() - began
    tune_garbage_collection()
    recorded = LoopHolds()
    recording = asyncio.create_task(recorded.run())
    result: dict[str, dict[str, float]] = {}
    assert runtime.pods is not None
    [watched] = [one.informer for one in runtime.pods._watched.values()]
    recorded.start_over()
    for _ in range(4):
        began, lists = time.monotonic(), watched.counts.lists
        await make_relist(plane, client, way)
        while watched.counts.lists == lists:
            await asyncio.sleep(0.02)
        await asyncio.sleep(max(0.0, RELIST_SECONDS - (time.monotonic() - began)))
    result["relisting"] = {"p99_ms": 1000 * recorded.wait(0.99), "longest_ms": 1000 * max(recorded.holds)}
    # another process makes the changes: what that costs is not the picker's
    churning = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.cluster_pods", str(plane.kubeconfig), "10")
    )
    before = runtime.reconciler.count
    while runtime.reconciler.count == before and churning.returncode is None:
        await asyncio.sleep(0.1)
    recorded.start_over()
    if await churning.wait():
        raise RuntimeError("the program that changes pods failed")
    result["churning"] = {
        "p99_ms": 1000 * recorded.wait(0.99),
        "longest_ms": 1000 * max(recorded.holds),
        "rollouts": runtime.reconciler.count - before,
    }
    recording.cancel()
    await one.stop()
    return {"first_full_table_seconds": full, "holds": result}


def start_behind(plane: ControlPlane) -> None:
    """Start it with less claim to the cores than the picker: elsewhere it has machines of its own.

    Niceness is a thread's on Linux and goes to what it starts: call this in a thread of its own.
    """
    os.setpriority(os.PRIO_PROCESS, 0, 15)
    plane.start()


def assets() -> Path:
    """Where the programs are."""
    script = Path(__file__).parents[1] / "hack/kube/assets.py"
    found = subprocess.run([sys.executable, script, "where"], capture_output=True, text=True, check=True)
    return Path(os.environ.get("KUBEBUILDER_ASSETS") or found.stdout.strip())


def shown(result: dict[str, Any]) -> Table:
    table = Table(title=f"discovery of {result['pods']:,} pods")
    table.add_column("figure")
    table.add_column("", justify="right")

    def p99s(runs: Any) -> str:
        return ", ".join(f"{run['p99_ms']:.1f}" for run in runs) + " ms"

    def held(when: str) -> str:
        found = result["holds"][when]
        return f"p99 {found['p99_ms']:.1f} ms, longest {found['longest_ms']:.1f} ms"

    rows = {
        "from start to full table": f"{result['first_full_table_seconds']:.2f} s",
        "memory": f"{result['memory_bytes'] / 2**20:.0f} MiB "
        f"({result['memory_bytes_one_endpoint'] / 2**20:.0f} with one endpoint)",
        "decision p99, quiet": p99s(result["quiet"]),
        "decision p99, a relist every 5 s": p99s(result["while_relisting"]),
        "CPU, nothing happens": f"{result['idle_cores']:.3f} cores",
        f"CPU, {result['churn_changes_a_second']:.0f} pod changes/s": f"{result['churn_cores']:.3f} cores",
        "decision p99 meanwhile": p99s([result["while_churning"]]),
        "held by a relist every 5 s, CPU time": held("relisting"),
        "held by 50 pod changes/s, CPU time": held("churning"),
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pods", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--out", type=Path, default=Path("bench/results/discovery.json"))
    parser.add_argument("--only-holds", action="store_true", help="renew that part of --out")
    options = parser.parse_args()
    result = json.loads(options.out.read_text()) if options.only_holds else {}
    result |= asyncio.run(measure(options.pods, options.seconds, only_holds=options.only_holds))
    Console().print(shown(result))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
