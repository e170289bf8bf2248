"""One picker in a cluster: follows what the operator publishes, says what it runs, and finds its peers.

Nothing here is needed to answer a request. While the API server is away everything stays as it was.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any, NoReturn

from pilotage_api.settings import GatewaySettings
from pilotage_extproc.accounting.store import StoreAway
from pilotage_extproc.envoy.contract import CONTRACT
from pilotage_extproc.server.addresses import split_address
from pilotage_extproc.server.extproc_server import ExtProcServer
from pilotage_extproc.server.tenant_figures import FiguresReader
from pilotage_extproc.sources.api_key_secrets import KeySecretWatch
from pilotage_extproc.sources.inference_pools import ServedPools, is_inference_pool
from pilotage_extproc.sources.inference_watch import InferenceWatch
from pilotage_extproc.telemetry.instruments import Reading
from pilotage_kube.client import ApiClient
from pilotage_kube.figures_report import FiguresReport, TenantFigures, bounded
from pilotage_kube.figures_reporter import FiguresReporter
from pilotage_kube.replica_report import Refusal
from pilotage_kube.replica_reporter import ReplicaReporter
from pilotage_kube.replica_watch import ReplicaWatch
from pilotage_kube.snapshot_reader import SnapshotReader

log = logging.getLogger(__name__)

_REPORT_SECONDS = 1.0
"""Counts of pools are looked at so often; a new version is reported at once."""


@dataclass(slots=True, frozen=True)
class ClusterIdentity:
    """Who this replica is in its cluster."""

    namespace: str
    """Where snapshot and reports are."""
    replica: str
    """The pod's name."""
    address: str = ""
    """`HOST:PORT` where peers reach its gRPC port; empty where they cannot."""
    owner: dict[str, Any] | None = None
    """Owner reference to the pod, so that the report goes with it."""


class ClusterFollower:
    """Drives an `ExtProcServer` by a cluster; `run` it as a task, then `leave`."""

    def __init__(
        self, server: ExtProcServer, client: ApiClient, settings: GatewaySettings, identity: ClusterIdentity
    ) -> None:
        self._server = server
        self._identity = identity
        own = settings.kubernetes
        self.reader = SnapshotReader(
            client, server.apply, namespace=identity.namespace, name=own.snapshot_name
        )
        self.reporter = ReplicaReporter(
            client,
            namespace=identity.namespace,
            replica=identity.replica,
            group=own.replica_group,
            owner=identity.owner,
            address=identity.address,
            contract=CONTRACT,
        )
        runtime = server.runtime
        self._figures = FiguresReader(runtime.state.accounting, lambda: runtime.following.snapshot.tenants)
        self.figures_reporter = FiguresReporter(
            client,
            self._figures_report,
            namespace=identity.namespace,
            replica=identity.replica,
            group=own.replica_group,
            owner=identity.owner,
        )
        self._replicas = ReplicaWatch(
            client, self._meet_peers, namespace=identity.namespace, group=own.replica_group
        )
        self._keys = self._key_watch(client, settings)
        self._inference_changed = asyncio.Event()
        listen = settings.listen
        taken = {"listen.extproc": listen.extproc, "listen.admin": listen.admin}
        self._inference = InferenceWatch(
            client,
            self._inference_changed.set,
            namespaces=tuple(dict.fromkeys((*settings.watched_namespaces, identity.namespace))),
            service=own.picker_service,
            own_ports={split_address(address)[1]: name for name, address in taken.items()},
        )
        self._served = ServedPools()
        self._port_failures: dict[str, str] = {}
        server.runtime.telemetry.read(
            Reading(
                "pilotage_inference_pools",
                "InferencePools that name this picker: served, or refused.",
                ("state",),
                self._inference_counts,
            )
        )

    async def run(self) -> NoReturn:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.reader.run(), name="follow snapshots")
            tasks.create_task(self.reporter.run(), name="report")
            tasks.create_task(self.figures_reporter.run(), name="report figures of tenants")
            tasks.create_task(self._replicas.run(), name="follow peers")
            if self._keys is not None:
                tasks.create_task(self._keys.run(), name="follow API keys")
            tasks.create_task(self._inference.run(), name="watch InferencePools")
            tasks.create_task(self._follow_inference(), name="follow InferencePools")
            while True:
                self.report()
                await asyncio.sleep(_REPORT_SECONDS if self._server.runtime.following.synced else 0.05)

    def _key_watch(self, client: ApiClient, settings: GatewaySettings) -> KeySecretWatch | None:
        identity = settings.governance.identity
        keys = None if identity is None else identity.api_keys
        if keys is None or keys.secret_selector is None:
            return None
        return KeySecretWatch(
            client,
            self._server.runtime.state.keys.follow,
            namespace=keys.secret_namespace or self._identity.namespace,
            labels=keys.secret_selector.match_labels,
        )

    async def leave(self) -> None:
        """Take the report back: this replica is gone, and the operator waits for it no longer."""
        await self.reporter.withdraw()
        await self.figures_reporter.withdraw()

    def status(self) -> dict[str, Any]:
        """What it runs and what is wrong, for people."""
        report = self.reporter.report
        return {
            "replica": report.replica,
            "namespace": self._identity.namespace,
            "ready": report.ready,
            "snapshot": report.version,
            "published": self.reader.published,
            "problem": report.problem or None,
            "refusals": [
                {"resource": one.resource, "reason": one.reason, "message": one.message}
                for one in report.refusals
            ],
            "pools": {
                key: {"ready": one.ready, "total": one.total}
                for key, one in self._server.runtime.following.pool_counts().items()
            },
            "inferencePools": {pool: port for port, pool in self._server.pool_ports.ports.items()},
            "peers": self._server.runtime.peers.process_ids(),
        }

    def report(self) -> None:
        """Say what is so now; it is written at once where it is new."""
        runtime = self._server.runtime
        self.reporter.update(
            version=self.reader.version,
            ready=self._server.view.ready(),
            refusals=self._refusals(),
            problem=self.reader.problem or "",
            pools=runtime.following.pool_counts(),
            certificate=runtime.own_certificate(),
        )

    async def _figures_report(self) -> FiguresReport | None:
        try:
            figures = await self._figures.read()
        except StoreAway:
            return None  # what was said last stays
        if figures is None:
            return None
        found = (TenantFigures(*one) for one in figures.budgets)
        return bounded(self._identity.replica, found, shared=figures.shared, at=figures.at)

    def _refusals(self) -> list[Refusal]:
        runtime = self._server.runtime
        refusals = list(self._served.refusals)
        refusals += [self._refusal(key, "PortUnusable", why) for key, why in self._port_failures.items()]
        refusals += [
            self._refusal(key, problem.reason, problem.message)
            for key, problem in runtime.providers.problems().items()
        ]
        unseen = {} if runtime.pods is None else runtime.pods.problems()
        for pool in (*runtime.following.snapshot.pools, *runtime.following.inference_pools):
            namespace = pool.key.split("/")[-2]
            if pool.selector and namespace in unseen:
                message = f"pods in {namespace} cannot be seen: {unseen[namespace]}"
                refusals.append(self._refusal(pool.key, "PodsNotSeen", message))
            for endpoint in pool.endpoints:
                if endpoint.address in runtime.discovery.failed:
                    why = runtime.discovery.failed[endpoint.address]
                    message = f"{endpoint.address} does not resolve: {why}"
                    refusals.append(self._refusal(pool.key, "NameNotResolved", message))
        return refusals

    def _refusal(self, pool: str, reason: str, message: str) -> Refusal:
        if is_inference_pool(pool):
            return self._served.refusal(pool, reason, message)
        return Refusal(f"ModelPool {pool}", reason, message)

    def _meet_peers(self) -> None:
        others = [one for one in self._replicas.live() if one.replica != self._identity.replica]
        self._server.runtime.older_peers.see(any(one.contract != CONTRACT for one in others))
        self._server.runtime.peers.follow({one.address: one.certificate for one in others if one.address})

    async def _follow_inference(self) -> NoReturn:
        retry: asyncio.TimerHandle | None = None
        while True:
            await self._inference_changed.wait()
            self._inference_changed.clear()
            served = self._inference.served()
            self._server.runtime.state.objectives.follow(self._inference.priorities())
            for refusal in set(served.refusals) - set(self._served.refusals):
                log.warning("%s is not served: %s", refusal.resource, refusal.message)
            if served.pools != self._served.pools:
                await self._server.runtime.following.follow_inference_pools(served.pools)
            self._served = served
            failures = await self._server.pool_ports.follow(served.ports)
            for pool, why in sorted(failures.items() - self._port_failures.items()):
                log.warning("%s: %s", pool, why)
            self._port_failures = failures
            if retry is not None:
                retry.cancel()
            retry = (
                asyncio.get_running_loop().call_later(5.0, self._inference_changed.set) if failures else None
            )

    def _inference_counts(self) -> dict[tuple[str, ...], float]:
        refused = len(self._served.refusals) + len(self._port_failures)
        return {("served",): len(self._server.pool_ports.ports), ("refused",): refused}
