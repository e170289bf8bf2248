"""The operator's process: stands by, leads while it holds the Lease, reports its state."""

import logging
import os
import socket
from collections.abc import Callable
from typing import Any

from pilotage_api.settings import GatewaySettings
from pilotage_kube.client import ApiClient
from pilotage_kube.clock import SystemTime, Time
from pilotage_kube.connection import Connection
from pilotage_kube.errors import KubeError, NotFound
from pilotage_kube.informer import InformerOptions
from pilotage_kube.lease import LeaderElection, LeadershipLost, LeaseTiming, unique_identity
from pilotage_kube.resource import CONFIG_MAPS, LEASES
from pilotage_operator.fenced import FencedClient
from pilotage_operator.http_status import StatusServer
from pilotage_operator.leader import Leader
from pilotage_operator.metrics import Metrics

log = logging.getLogger(__name__)

_STUCK_SECONDS = 300.0
"""A pass that takes longer never ends: the process is to be restarted."""


class OperatorProcess:
    """One operator; of several at once only the one that holds the Lease acts."""

    def __init__(
        self,
        connection: Connection,
        settings: GatewaySettings,
        *,
        identity: str | None = None,
        timing: LeaseTiming | None = None,
        clock: Time | None = None,
        kopf: bool = True,
        informers: InformerOptions | None = None,
        on_write: Callable[[str], None] | None = None,
        timeout_seconds: float = 15.0,
    ) -> None:
        """`on_write` is called before each request that changes something; tests stop there."""
        self.metrics = Metrics()
        self.active: Leader | None = None
        self._connection = connection
        self._settings = settings
        self._clock: Time = clock or SystemTime()
        self._kopf = kopf
        self._informers = informers
        self._on_write = on_write
        self._timeout_seconds = timeout_seconds
        self.identity = unique_identity(identity or os.environ.get("POD_NAME") or socket.gethostname())
        self.namespace = namespace_of(connection, settings)
        self._election_client = ApiClient(
            connection, timeout_seconds=min(5.0, timeout_seconds), user_agent="pilotage-operator"
        )
        self.election = LeaderElection(
            self._election_client,
            namespace=self.namespace,
            name=f"{settings.kubernetes.snapshot_name}-operator",
            identity=self.identity,
            timing=timing,
            clock=self._clock,
        )

    async def run(self) -> None:
        """Serve health, and stand by or lead, until cancelled. Raises OSError where it cannot listen."""
        server = StatusServer(
            self._settings.listen.operator,
            healthy=self._healthy,
            ready=self._ready,
            metrics=self._metrics_text,
        )
        url = await server.start()
        log.info("operator %s: health and metrics at %s", self.identity, url, extra={"url": url})
        try:
            while True:
                try:
                    await self.election.lead(self._lead)
                except LeadershipLost as error:
                    log.warning("standing by again: %s", error)
        finally:
            await server.stop()
            await self._election_client.close()

    async def _lead(self) -> None:
        self.metrics.leading.set(1)
        try:
            async with FencedClient(
                self._connection, self._guard, timeout_seconds=self._timeout_seconds
            ) as client:
                self.active = Leader(
                    client,
                    connection=self._connection,
                    settings=self._settings,
                    namespace=self.namespace,
                    instance=self.identity,
                    owner=await self._owner(client),
                    metrics=self.metrics,
                    clock=self._clock,
                    kopf=self._kopf,
                    informers=self._informers,
                )
                await self.active.run()
        finally:
            self.active = None
            self.metrics.leading.set(0)

    def _guard(self, method: str) -> None:
        if not self.election.leading:
            raise LeadershipLost("not leading any more")
        if self._on_write is not None:
            self._on_write(method)
        self.metrics.writes.labels(method).inc()

    async def _owner(self, client: ApiClient) -> dict[str, Any] | None:
        """What the published objects and the Lease shall belong to, as an owner reference."""
        name = self._settings.kubernetes.owner
        if name is None:
            return None
        try:
            found = await client.get(CONFIG_MAPS, name, self.namespace)
            owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": found["metadata"]["uid"]}
            await client.merge(
                LEASES,
                f"{self._settings.kubernetes.snapshot_name}-operator",
                {"metadata": {"ownerReferences": [owner]}},
                self.namespace,
            )
        except NotFound:
            log.warning("kubernetes.owner names ConfigMap %s/%s, which is not there", self.namespace, name)
            return None
        except KubeError as error:
            log.warning("cannot give what is published to %s/%s: %s", self.namespace, name, error)
            return None
        return owner

    def _healthy(self) -> str | None:
        active = self.active
        since = active.reconciler.progress.busy_since if active is not None else None
        if since is not None and self._clock() - since > _STUCK_SECONDS:
            return f"a reconciliation has been under way for {self._clock() - since:.0f} s"
        return None

    def _ready(self) -> tuple[bool, str]:
        active = self.active
        if active is None:
            leader = self.election.leader
            return bool(leader), f"standing by; {leader} leads" if leader else "the Lease was not seen yet"
        if active.problem is not None:
            return False, f"leading; {active.problem}"
        published = active.reconciler.progress.published
        if active.reconciler.progress.passes == 0:
            return False, "leading; reading what the API server holds"
        return True, f"leading; snapshot {published} is published"

    def _metrics_text(self) -> bytes:
        active = self.active
        if active is not None:
            self.metrics.statuses_pending.set(active.writer.pending)
            self.metrics.events_dropped.set(active.events.dropped)
            for resource, age in active.view.ages().items():
                self.metrics.watch_age.labels(resource).set(age)
            for resource, count in active.view.watches().items():
                self.metrics.watches.labels(resource).set(count)
        return self.metrics.text()


def namespace_of(connection: Connection, settings: GatewaySettings) -> str:
    """Where snapshot, Lease and reports live."""
    return settings.kubernetes.namespace or os.environ.get("POD_NAMESPACE") or connection.namespace
