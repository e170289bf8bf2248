"""What runs while this process is the active one."""

import asyncio
import logging
import time
from typing import Any, NoReturn

from pilotage_api.settings import GatewaySettings
from pilotage_kube.client import ApiClient
from pilotage_kube.clock import Time
from pilotage_kube.connection import Connection
from pilotage_kube.figures_report import FIGURES_LABEL, FiguresReport, read_figures
from pilotage_kube.informer import Informer, InformerOptions
from pilotage_kube.replica_watch import ReplicaWatch
from pilotage_kube.resource import LEASES
from pilotage_kube.snapshot_publisher import SnapshotPublisher
from pilotage_operator.event_writer import EventWriter
from pilotage_operator.kopf_wake import KopfWake
from pilotage_operator.metrics import Metrics
from pilotage_operator.picker_events import PickerEvents
from pilotage_operator.reconciler import Reconciler
from pilotage_operator.resource_revision import Stored
from pilotage_operator.resource_view import ResourceView
from pilotage_operator.revision_store import RevisionStore
from pilotage_operator.status_writer import StatusWriter
from pilotage_operator.tenant_figures import EVERY_SECONDS, FiguresView
from pilotage_operator.writer_view import WriterView

log = logging.getLogger(__name__)


class Leader:
    """Informers, the loop, the status writer and kopf, from one taking of the Lease to its loss."""

    def __init__(
        self,
        client: ApiClient,
        *,
        connection: Connection,
        settings: GatewaySettings,
        namespace: str,
        instance: str,
        owner: dict[str, Any] | None,
        metrics: Metrics,
        clock: Time,
        kopf: bool = True,
        informers: InformerOptions | None = None,
    ) -> None:
        kubernetes = settings.kubernetes
        namespaces = settings.watched_namespaces
        self._metrics = metrics
        self._clock = clock
        self._kopf: KopfWake | None = None
        self.view = ResourceView(client, namespaces, self._changed, clock=clock, options=informers)
        self.replicas = ReplicaWatch(
            client, self._reported, namespace=namespace, group=kubernetes.replica_group, clock=clock
        )
        self._figures_changed = asyncio.Event()
        self.figures = Informer(
            client,
            LEASES,
            read_figures,
            namespace=namespace,
            labels=f"{FIGURES_LABEL}={kubernetes.replica_group}",
            on_change=lambda _: self._figures_changed.set(),
            clock=clock,
        )
        self.events = EventWriter(client, instance=instance, clock=clock)
        self.writer = StatusWriter(client, events=self.events, on_trouble=self._again, clock=clock)
        self._picker_events = PickerEvents(self.replicas.live, self.events, clock=clock)
        gateway = f"{namespace}/{kubernetes.snapshot_name}"
        self.other_writers = WriterView(
            client, gateway=gateway, written_at=self.writer.written_at, clock=clock
        )
        self.reconciler = Reconciler(
            settings=settings,
            gateway=gateway,
            view=self.view,
            reports=self.replicas.live,
            publisher=SnapshotPublisher(
                client, namespace=namespace, name=kubernetes.snapshot_name, owner=owner
            ),
            store=RevisionStore(client, namespace=namespace, name=kubernetes.snapshot_name, owner=owner),
            writer=self.writer,
            other_writers=self.other_writers,
            figures=FiguresView(
                self._figures_said,
                self._alive,
                gateway=gateway,
                clock=clock,
                wall_clock=time.time,
            ),
            metrics=metrics,
            clock=clock,
        )
        if kopf:
            self._kopf = KopfWake(
                connection,
                namespaces,
                self._kopf_says,
                may_run=lambda: self.view.synced and self.view.absent is None,
                on_restart=metrics.kopf_restarts.inc,
                clock=clock,
            )

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.view.run(), name="view of resources")
            tasks.create_task(self.replicas.run(), name="view of pickers")
            tasks.create_task(self.figures.run(), name="view of tenants' figures")
            tasks.create_task(self._follow_figures(), name="follow tenants' figures")
            tasks.create_task(self.writer.run(), name="statuses")
            if self._kopf is not None:
                tasks.create_task(self._kopf.run(), name="kopf")
            await self.replicas.informer.wait_synced()
            tasks.create_task(self.reconciler.run(), name="reconciler")
            tasks.create_task(self._picker_events.run(), name="events of pickers")

    @property
    def problem(self) -> str | None:
        """Why what is desired is not in force, for people."""
        return self.reconciler.progress.problem or self.view.problem or self.replicas.informer.problem

    def _changed(self, stored: Stored | None) -> None:
        if stored is not None and self.writer.is_own_echo(stored):
            return
        self._wake("informer")

    def _reported(self) -> None:
        self._picker_events.wake()
        self._wake("picker")

    def _figures_said(self) -> tuple[FiguresReport, ...]:
        return tuple(self.figures.store.values())

    def _alive(self) -> frozenset[str]:
        return frozenset(one.replica for one in self.replicas.live())

    async def _follow_figures(self) -> NoReturn:
        """Look at news of what was spent now and then: they come all the time."""
        while True:
            await self._figures_changed.wait()
            self._figures_changed.clear()
            self._wake("figures")
            await self._clock.sleep(EVERY_SECONDS)

    def _again(self) -> None:
        self._wake("retry")

    def _kopf_says(self) -> None:
        self._wake("kopf", hint=True)

    def _wake(self, source: str, *, hint: bool = False) -> None:
        self._metrics.wakes.labels(source).inc()
        self.reconciler.mark_dirty(hint=hint)
