"""Operators and pickers of one test, in this process, against a real API server."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from waiting import until

from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import RoutingSnapshot
from pilotage_kube.client import ApiClient
from pilotage_kube.errors import AlreadyExists, NotFound
from pilotage_kube.informer import InformerOptions
from pilotage_kube.lease import LeaseTiming
from pilotage_kube.replica_report import PoolCount, Refusal
from pilotage_kube.replica_reporter import ReplicaReporter
from pilotage_kube.resource import (
    CONFIG_MAPS,
    EVENTS,
    MODEL_POOLS,
    ROUTE_POLICIES,
    TENANTS,
    ResourceType,
)
from pilotage_kube.snapshot_head import Head
from pilotage_kube.snapshot_publisher import STORE_LABEL, SnapshotPublisher
from pilotage_kube.snapshot_reader import SnapshotReader
from pilotage_kube.testing import ControlPlane
from pilotage_operator.process import OperatorProcess

CRDS = Path(__file__).parents[2] / "crds"
QUICK_LEASE = LeaseTiming(duration_seconds=2.0, renew_deadline_seconds=1.2, retry_seconds=0.2)
QUICK_INFORMERS = InformerOptions(
    first_delay_seconds=0.02, longest_delay_seconds=0.3, absent_after_seconds=1, absent_poll_seconds=0.3
)
_TYPES = {"ModelPool": MODEL_POOLS, "RoutePolicy": ROUTE_POLICIES, "Tenant": TENANTS}


def install_crds(plane: ControlPlane, change: Callable[[Any], Any] = lambda crd: crd) -> None:
    """Apply crds/, perhaps changed, and wait until they are served."""
    text = yaml.safe_dump_all(
        change(yaml.safe_load(path.read_text())) for path in sorted(CRDS.glob("*.yaml"))
    )
    plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", given=text)
    plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", "-", given=text)


def without_rules(part: Any) -> Any:
    """A schema without its CEL rules: what a later version of the CRDs lets through."""
    if isinstance(part, list):
        return [without_rules(one) for one in part]
    if isinstance(part, dict):
        return {key: without_rules(one) for key, one in part.items() if key != "x-kubernetes-validations"}
    return part


def pool(name: str, *models: str, aliases: tuple[str, ...] = (), **spec: Any) -> dict[str, Any]:
    """A ModelPool of two servers."""
    blocks: list[dict[str, Any]] = [{"name": model} for model in models or (f"model-of-{name}",)]
    if aliases:
        blocks[0]["aliases"] = list(aliases)
    endpoints = [{"address": "10.0.0.1", "port": 8000}, {"address": "10.0.0.2", "port": 8000}]
    return MODEL_POOLS.object(name, spec={"endpoints": endpoints, "models": blocks, **spec})


def policy(name: str, match: str, *candidates: str, **spec: Any) -> dict[str, Any]:
    """A RoutePolicy for one model name."""
    rules = [{"candidates": [{"model": one} for one in candidates]}]
    return ROUTE_POLICIES.object(name, spec={"match": {"models": [match]}, "rules": rules, **spec})


def type_of(body: dict[str, Any]) -> ResourceType:
    return _TYPES[body["kind"]]


def condition(found: dict[str, Any], kind: str) -> dict[str, Any]:
    """One condition of an object; empty where it has none."""
    conditions = found.get("status", {}).get("conditions", [])
    return next((one for one in conditions if one["type"] == kind), {})


def summary(found: dict[str, Any]) -> str:
    """Accepted, ResolvedRefs, Programmed, such as `True False Pending`: the reason where it is not True."""
    told = []
    for kind in ("Accepted", "ResolvedRefs", "Programmed"):
        one = condition(found, kind)
        told.append("True" if one.get("status") == "True" else one.get("reason", "-"))
    return " ".join(told)


class Picker:
    """What extproc does for the operator: follows the snapshot, reports what it runs."""

    def __init__(self, client: ApiClient, namespace: str, name: str) -> None:
        self.follows = True
        self.ready = True
        self.refusals: tuple[Refusal, ...] = ()
        self.snapshot: RoutingSnapshot | None = None
        self.seen: list[str] = []
        self.reader = SnapshotReader(client, self._take, namespace=namespace)
        self.reporter = ReplicaReporter(client, namespace=namespace, replica=name)
        self._tasks = [asyncio.create_task(one.run()) for one in (self.reader, self.reporter)]

    def report(self, **pools: tuple[int, int]) -> None:
        """Say how it stands now; pools as `namespace/name`."""
        counts = {key: PoolCount(*count) for key, count in pools.items()}
        version = self.snapshot.version if self.snapshot else ""
        self.reporter.update(
            version=version,
            ready=self.ready,
            refusals=self.refusals,
            pools=counts or self.reporter.report.pools,
        )

    async def _take(self, snapshot: RoutingSnapshot) -> None:
        self.seen.append(snapshot.version)
        if not self.follows:
            raise ValueError("this picker is told not to follow")
        self.snapshot = snapshot
        self.report()

    async def end(self, *, withdraw: bool = True) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if withdraw:
            await self.reporter.withdraw()


class Operators:
    """Starts operators and pickers for one namespace, and ends them all."""

    def __init__(self, plane: ControlPlane, client: ApiClient, namespace: str, *, kopf: bool = True) -> None:
        self.plane = plane
        self._kopf = kopf
        self.client = client
        self.namespace = namespace
        self._running: list[tuple[OperatorProcess, asyncio.Task[None]]] = []
        self._pickers: list[Picker] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process, _ in list(self._running):
            await self.end(process)
        for picker in self._pickers:
            await picker.end(withdraw=False)

    def settings(self, **kubernetes: Any) -> GatewaySettings:
        """Of a gateway that lives in the test's namespace and obeys it."""
        namespaces = kubernetes.pop("namespaces", (self.namespace,))
        return GatewaySettings.model_validate(
            {
                "namespaces": namespaces,
                "listen": {"operator": "127.0.0.1:0"},
                "kubernetes": {"namespace": self.namespace, **kubernetes},
            }
        )

    def start(
        self, *, settings: GatewaySettings | None = None, server: str | None = None, **options: Any
    ) -> OperatorProcess:
        """Start an operator; perhaps through a proxy at `server`."""
        options.setdefault("timing", QUICK_LEASE)
        options.setdefault("kopf", self._kopf)
        process = OperatorProcess(
            self.plane.connection(server=server, token=options.pop("token", None)),
            settings or self.settings(),
            informers=QUICK_INFORMERS,
            timeout_seconds=3.0,
            **options,
        )
        self._running.append((process, asyncio.create_task(process.run())))
        return process

    async def end(self, process: OperatorProcess) -> BaseException | None:
        """Cancel an operator; what it ended with."""
        [(_, task)] = [one for one in self._running if one[0] is process]
        self._running = [one for one in self._running if one[0] is not process]
        task.cancel()
        [result] = await asyncio.gather(task, return_exceptions=True)
        return result if isinstance(result, BaseException) else None

    async def ended_or_at_rest(self, process: OperatorProcess) -> bool:
        """Wait until an operator ends by itself, or has nothing left to do; whether it ended."""
        [(_, task)] = [one for one in self._running if one[0] is process]
        rest = asyncio.create_task(idle(process, 30))
        await asyncio.wait({task, rest}, return_when=asyncio.FIRST_COMPLETED)
        rest.cancel()
        await asyncio.gather(rest, return_exceptions=True)
        ended = task.done()
        await self.end(process)
        return ended

    def pick(self, name: str = "picker-a") -> Picker:
        """Start a picker."""
        picker = Picker(self.client, self.namespace, name)
        self._pickers.append(picker)
        return picker

    async def apply(self, *bodies: dict[str, Any], namespace: str | None = None) -> None:
        """As a user does with `kubectl apply --server-side`."""
        for body in bodies:
            await self.client.apply(type_of(body), body, namespace or self.namespace, manager="user")

    async def delete(self, body: dict[str, Any]) -> None:
        await self.client.delete(type_of(body), body["metadata"]["name"], self.namespace)

    async def get(self, body: dict[str, Any], namespace: str | None = None) -> dict[str, Any]:
        return await self.client.get(
            type_of(body),
            body["metadata"]["name"],
            namespace or body["metadata"].get("namespace") or self.namespace,
        )

    async def says(
        self, body: dict[str, Any], wanted: str, *, seconds: float = 30.0, namespace: str | None = None
    ) -> dict[str, Any]:
        """Wait until a resource's conditions are these, for the generation it has; the object."""
        found: dict[str, Any] = {}
        try:
            async with asyncio.timeout(seconds):
                while True:
                    found = await self.get(body, namespace)
                    current = (
                        found.get("status", {}).get("observedGeneration") == found["metadata"]["generation"]
                    )
                    if current and summary(found) == wanted:
                        return found
                    await asyncio.sleep(0.03)
        except TimeoutError:
            told = json.dumps(found.get("status", {}), indent=1)
            raise AssertionError(
                f"{body['metadata']['name']} says {summary(found)!r}, not {wanted!r}:\n{told}"
            ) from None

    async def head(self) -> Head:
        """What is published; an empty head where nothing is."""
        try:
            return await SnapshotPublisher(self.client, namespace=self.namespace).published()
        except NotFound:
            return Head()

    async def events(self, name: str) -> list[tuple[str, str, str]]:
        """Type, reason and note of the Events about a resource."""
        found = await self.client.list_all(EVENTS, self.namespace)
        mine = [one for one in found if one["regarding"]["name"] == name]
        mine.sort(key=lambda one: one["eventTime"])
        return [(one["type"], one["reason"], one["note"]) for one in mine]

    async def eventually(self, holds: Callable[[], Awaitable[object]], seconds: float = 30.0) -> None:
        """Wait until something that has to be asked for holds."""
        async with asyncio.timeout(seconds):
            while not await holds():
                await asyncio.sleep(0.05)

    async def store_is_whole(self) -> bool:
        """Whether every shard that the head names is there."""
        head = await self.head()
        metas = await self.client.list_metadata(
            CONFIG_MAPS, self.namespace, labels=f"{STORE_LABEL}=pilotage-snapshot"
        )
        names = {meta.name for meta in metas}
        return all(shard.name in names for one in head.manifests for shard in one.shards)


async def make_namespace(client: ApiClient, name: str, **labels: str) -> str:
    """A namespace beside the test's own."""
    from pilotage_kube.resource import NAMESPACES

    with contextlib.suppress(AlreadyExists):
        await client.create(NAMESPACES, NAMESPACES.object(name, metadata={"labels": labels}))
    return name


async def idle(process: OperatorProcess, seconds: float = 10.0) -> None:
    """Wait until an operator has nothing left to do."""

    def rests() -> bool:
        active = process.active
        if active is None or not active.reconciler.progress.passes:
            return False
        return active.writer.pending == 0 and active.reconciler.at_rest

    quiet = 0
    async with asyncio.timeout(seconds):
        while quiet < 10:
            await until(rests, seconds)
            await asyncio.sleep(0.05)
            quiet = quiet + 1 if rests() else 0
