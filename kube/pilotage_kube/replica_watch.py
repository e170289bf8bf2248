"""The operator's view of extproc: which replicas live, and which snapshot each follows."""

import asyncio
import logging
from collections.abc import Callable
from typing import NoReturn

from pilotage_kube.client import ApiClient
from pilotage_kube.clock import SystemTime, Time
from pilotage_kube.informer import Change, ChangeKind, Informer
from pilotage_kube.replica_report import REPORT_LABEL, ReplicaReport, read_report
from pilotage_kube.replica_table import GONE_AFTER_SECONDS, ReplicaTable
from pilotage_kube.resource import LEASES

log = logging.getLogger(__name__)

_TICK_SECONDS = 0.5


class ReplicaWatch:
    """Follows the reports of one group of replicas; `run` it as a task.

    `on_change` is called when what live replicas say changes, or who lives; not for renewals. A replica
    counts until nothing new was heard of it for 15 s *while this process could hear*: an API server that is
    away makes nobody disappear. A report found at start counts for that long too.
    """

    def __init__(
        self,
        client: ApiClient,
        on_change: Callable[[], None],
        *,
        namespace: str,
        group: str = "pilotage-extproc",
        gone_after_seconds: float = GONE_AFTER_SECONDS,
        clock: Time | None = None,
    ) -> None:
        self._on_change = on_change
        self._clock: Time = clock or SystemTime()
        self._table = ReplicaTable(gone_after_seconds)
        self._heard_seconds = 0.0
        self._told: tuple[ReplicaReport, ...] = ()
        self.informer = Informer(
            client,
            LEASES,
            read_report,
            namespace=namespace,
            labels=f"{REPORT_LABEL}={group}",
            on_change=self._changed,
            clock=self._clock,
        )

    def live(self) -> tuple[ReplicaReport, ...]:
        """What living replicas say, by name."""
        return self._table.live(self._heard_seconds)

    async def run(self) -> NoReturn:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.informer.run(), name="watch of replica reports")
            before = self._clock()
            while True:
                await self._clock.sleep(_TICK_SECONDS)
                now = self._clock()
                if self.informer.problem is None:
                    self._heard_seconds += now - before
                before = now
                self._tell()

    def _changed(self, change: Change[ReplicaReport]) -> None:
        if change.kind is ChangeKind.DELETED:
            self._table.forget(change.key)
        else:
            self._table.observe(change.key, change.value, self._heard_seconds)
        self._tell()

    def _tell(self) -> None:
        says = tuple(report.says() for report in self.live())
        if says != self._told:
            self._told = says
            try:
                self._on_change()
            except Exception:
                log.exception("a handler of replica reports failed")
