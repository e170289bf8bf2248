"""The loop: look at everything, plan, publish, say so. Level-triggered: what woke it does not matter."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NoReturn

from pilotage_api.findings import Finding, ResourceKey
from pilotage_api.settings import GatewaySettings
from pilotage_kube.backoff import Backoff
from pilotage_kube.clock import Time, within
from pilotage_kube.errors import ApiError, KubeError, NotFound
from pilotage_kube.replica_report import ReplicaReport
from pilotage_kube.snapshot_head import Head, SnapshotFault
from pilotage_kube.snapshot_publisher import SnapshotPublisher
from pilotage_operator.desired import Compiler, Desired
from pilotage_operator.metrics import Metrics
from pilotage_operator.older_pickers import ForOlder, OlderPickers
from pilotage_operator.picker_view import PickerView
from pilotage_operator.plan import Observed, Plan, Settled, plan
from pilotage_operator.programmed import Pickers
from pilotage_operator.published_generations import Ledger
from pilotage_operator.resource_revision import Form
from pilotage_operator.resource_view import ResourceView
from pilotage_operator.revision_store import RevisionStore
from pilotage_operator.status_writer import StatusWriter
from pilotage_operator.tenant_figures import FiguresView
from pilotage_operator.writer_view import WriterView

log = logging.getLogger(__name__)

QUIET_SECONDS: Final = 0.02
"""A burst of edits is over when nothing came for this long."""
LONGEST_BURST_SECONDS: Final = 0.3
"""But an endless one is cut into pieces of this length."""
ABSENT_POLL_SECONDS: Final = 1.0
"""How often to look whether our types are served again: that they are, and are empty, is no change."""
RESYNC_SECONDS: Final = 60.0
"""How often what is published is looked at, and mended where somebody removed a part of it."""


@dataclass(slots=True)
class Progress:
    """What the loop has done, for tests and people."""

    compiles: int = 0
    passes: int = 0
    published: str = ""
    problem: str | None = None
    """Why what is desired is not in force, for people."""
    busy_since: float | None = None
    """When the pass under way began, by the clock; None between two."""


class Reconciler:
    """Brings the cluster to what the resources say; `run` it as a task, `mark_dirty` to wake it."""

    def __init__(
        self,
        *,
        settings: GatewaySettings,
        gateway: str,
        view: ResourceView,
        reports: Callable[[], tuple[ReplicaReport, ...]],
        publisher: SnapshotPublisher,
        store: RevisionStore,
        writer: StatusWriter,
        other_writers: WriterView,
        figures: FiguresView,
        metrics: Metrics,
        clock: Time,
    ) -> None:
        self.progress = Progress()
        self._gateway = gateway
        self._view = view
        self._reports = reports
        self._publisher = publisher
        self._store = store
        self._writer = writer
        self._other_writers = other_writers
        self._figures = figures
        self._metrics = metrics
        self._clock = clock
        self._compiler = Compiler(settings)
        self._pickers = PickerView(clock)
        self._older = OlderPickers()
        self._serves_older = False
        self._ledger = Ledger()
        self._dirty = asyncio.Event()
        self._marks = 0
        self._changes = 1
        self._looked_at = 0
        self._desired: Desired | None = None
        self._compiled_revision = -1
        self._in_force: Mapping[ResourceKey, Form] = {}
        self._kept: Mapping[ResourceKey, Form] = {}
        self._checked_at: float | None = None
        self._right: dict[ResourceKey, Settled] = {}
        self._told: tuple[Finding, ...] = ()

    def mark_dirty(self, *, hint: bool = False) -> None:
        """Something has changed, whatever it is: look at everything.

        A hint says so of something that our own view may not show yet, or has shown already: where it shows
        nothing new when it is looked at, nothing is done.
        """
        self._marks += 1
        self._changes += not hint
        self._dirty.set()

    @property
    def at_rest(self) -> bool:
        """Whether nothing is under way and nothing has changed since."""
        return self.progress.busy_since is None and not self._dirty.is_set()

    async def run(self) -> NoReturn:
        """Reconcile until cancelled."""
        backoff = Backoff(limit_seconds=15.0)
        await self._view.wait_synced()
        await self._recall()
        deadline = self._clock()
        while True:
            await self._wait(deadline)
            await self._calm()
            self._dirty.clear()
            if self._looked_at == self._changes and self._clock() < deadline:
                continue
            self._looked_at = self._changes
            self.progress.busy_since = self._clock()
            again: float | None = None
            try:
                again = await self._pass()
                backoff.reset()
            except KubeError as error:
                self._trouble(str(error))
                self._metrics.failed()
                again = backoff.delay(error.retry_after_seconds if isinstance(error, ApiError) else 0.0)
                await self._clock.sleep(again)
                self.mark_dirty()
            finally:
                self.progress.busy_since = None
            deadline = self._clock() + (RESYNC_SECONDS if again is None else min(again, RESYNC_SECONDS))

    async def _wait(self, deadline: float) -> None:
        """Until something is dirty, or it is time to look again anyway."""
        if self._dirty.is_set():
            return
        try:
            await within(self._clock, max(0.0, deadline - self._clock()), self._dirty.wait())
        except TimeoutError:
            self.mark_dirty()

    async def _calm(self) -> None:
        """Let a burst of edits end, so that it costs one compilation."""
        began = self._clock()
        while self._clock() - began < LONGEST_BURST_SECONDS:
            before = self._marks
            await self._clock.sleep(QUIET_SECONDS)
            if self._marks == before:
                return

    async def _recall(self) -> None:
        """Learn what a former leader published. Must succeed: else those revisions would be lost."""
        backoff = Backoff(limit_seconds=15.0)
        while True:
            try:
                await self._recall_once()
                return
            except KubeError as error:
                self._trouble(f"cannot read what is published: {error}")
            await self._clock.sleep(backoff.delay())

    async def _recall_once(self) -> None:
        try:
            head = await self._publisher.published()
        except NotFound:
            head = Head()
        except SnapshotFault as fault:
            log.warning("what is published cannot be read and will be replaced: %s", fault)
            head = Head()
        self._serves_older = head.newest is not None
        for manifest in reversed(head.manifests):
            forms = await self._store.load(manifest.version)
            if forms is not None:
                self._ledger.note(manifest.version, forms)
            if manifest == head.latest:
                if forms is None:
                    log.warning(
                        "no revisions are kept for snapshot %s: what is invalid now is lost",
                        manifest.version,
                    )
                self.progress.published = manifest.version
                self._in_force = self._kept = forms or {}

    async def _pass(self) -> float | None:
        """Once through; in how many seconds to look again where nothing else happens."""
        absent = self._view.absent
        if absent is not None:
            # the objects are not known to be gone: traffic keeps what it has until the type is served again
            self._trouble(
                f"the API server does not serve {absent.plural}.{absent.group}: what is published stays; "
                "install the CRDs"
            )
            return ABSENT_POLL_SECONDS
        began = self._clock()
        desired = await self._compile()
        older = await self._older.look(self._reports(), desired.snapshot)
        if older is not None and older.version:
            self._ledger.note(older.version, desired.forms, [one.version for one in self._reports()])
        pickers, again = self._look(desired, older)
        made, writers_again = await self._plan(desired, pickers)
        self._metrics.planned(self._clock() - began)
        await self._publish(made, desired, older)
        if made.publish is not None or made.keep is not None:
            # what pickers run is to be judged by what the ledger knows now
            pickers, again = self._look(desired, older)
            made, writers_again = await self._plan(desired, pickers)
        self._writer.submit(made.statuses, self._view.resources())
        self.progress.passes += 1
        self._settled()
        self._metrics.passed(desired, pickers, self._clock() - began)
        return min((one for one in (again, writers_again) if one is not None), default=None)

    def _look(self, desired: Desired, older: ForOlder | None) -> tuple[Pickers, float | None]:
        return self._pickers.look(self._reports(), desired.snapshot.version, self._ledger.snapshot(), older)

    async def _compile(self) -> Desired:
        if self._desired is not None and self._compiled_revision == self._view.revision:
            return self._desired
        revision = self._view.revision
        forms = [stored.form for stored in self._view.resources().values()]
        labels = self._view.labels()
        began = self._clock()
        desired = await asyncio.to_thread(self._compiler.compile, forms, labels, self._in_force)
        self._metrics.compiled(self._clock() - began)
        self.progress.compiles += 1
        self._desired, self._compiled_revision = desired, revision
        self._in_force = desired.forms
        if desired.others != self._told:
            for finding in desired.others:
                log.warning("%s: %s: %s; %s", finding.resource, finding.path, finding.message, finding.fix)
            self._told = desired.others
        return desired

    async def _plan(self, desired: Desired, pickers: Pickers) -> tuple[Plan, float | None]:
        """What to write, and in how many seconds statuses are to be looked at again."""
        resources = {key: self._writer.as_written(one) for key, one in self._view.resources().items()}
        silent: frozenset[ResourceKey] = frozenset()
        again: float | None = None
        published = self.progress.published
        if desired.snapshot.version == published:
            # before that no status is written, and publishing waits for nothing
            silent, again = await self._other_writers.look(resources)
        spending, figures_again = self._figures.look(desired.snapshot.tenants, resources)
        observed = Observed(resources, published, self._kept, pickers, datetime.now(UTC), silent, spending)
        made = await asyncio.to_thread(plan, desired, observed, self._gateway, self._right)
        return made, min((one for one in (again, figures_again) if one is not None), default=None)

    async def _publish(self, made: Plan, desired: Desired, older: ForOlder | None) -> None:
        """Forms first, then the snapshot, then what no longer is needed goes.

        Killed in between, the old snapshot still has its own forms.
        """
        version = desired.snapshot.version
        now = self._clock()
        due = self._checked_at is None or now - self._checked_at >= RESYNC_SECONDS
        came_or_went = (older is not None) != self._serves_older
        if made.publish is None and made.keep is None and not due and not came_or_went:
            return
        if older is not None and older.version and not await self._store.holds(older.version):
            # an operator of the version before, after a rollback, looks for them by that version
            await self._store.keep(older.version, desired.forms)
        if made.keep is not None or made.publish is not None or not await self._store.holds(version):
            self._ledger.note(version, desired.forms, made.versions_in_use)
            await self._store.keep(version, desired.forms)
            self._kept = desired.forms
        if made.publish is not None or due or came_or_went:
            # repeated, it mends what somebody removed
            lowered = None if older is None else older.lowered
            await self._publisher.publish(desired.snapshot, keep=made.versions_in_use, older=lowered)
            self._serves_older = older is not None
            self._checked_at = self._clock()
        if made.publish is not None:
            self.progress.published = version
            log.info(
                "published snapshot %s", version, extra={"snapshot": version, "resources": len(desired.forms)}
            )
            self._metrics.published()
        head = await self._publisher.published()
        held = {one.version for one in head.manifests}
        await self._store.retain(held, version)

    def _trouble(self, problem: str) -> None:
        if problem != self.progress.problem:
            log.warning("%s", problem)
        self.progress.problem = problem

    def _settled(self) -> None:
        if self.progress.problem is not None:
            log.info("all is well again")
        self.progress.problem = None
