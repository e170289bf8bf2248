"""Following published snapshots: watch the head, load its shards, verify; keep the last good on a fault."""

import asyncio
import base64
import binascii
import logging
from collections.abc import Awaitable, Callable
from typing import NoReturn

from pilotage_api.previous_snapshot import READABLE_FORMATS
from pilotage_api.snapshot import RoutingSnapshot
from pilotage_kube.backoff import Backoff
from pilotage_kube.client import ApiClient
from pilotage_kube.clock import SystemTime, Time, within
from pilotage_kube.errors import KubeError
from pilotage_kube.informer import Change, ChangeKind, Informer
from pilotage_kube.resource import CONFIG_MAPS
from pilotage_kube.snapshot_codec import MAX_SHARDS, SnapshotParser, content_of
from pilotage_kube.snapshot_head import Head, Manifest, SnapshotFault, head_or_fault
from pilotage_kube.snapshot_publisher import SHARD_KEY

log = logging.getLogger(__name__)

_LONGEST_RETRY_SECONDS = 15.0


class SnapshotReader:
    """Follows one snapshot store; `run` it as a task.

    `on_snapshot` is awaited with each new snapshot and may raise to refuse it: the last good one then stays.
    A process that has none yet and cannot use the current one starts from one that the store retains.
    """

    def __init__(
        self,
        client: ApiClient,
        on_snapshot: Callable[[RoutingSnapshot], Awaitable[None]],
        *,
        namespace: str,
        name: str = "pilotage-snapshot",
        clock: Time | None = None,
    ) -> None:
        self.version = ""
        """Of the snapshot in force here; empty while there is none."""
        self.published = ""
        """Of the snapshot that the store says is current."""
        self.problem: str | None = None
        """Why the two differ, for people; None where they do not."""
        self._client = client
        self._namespace = namespace
        self._name = name
        self._on_snapshot = on_snapshot
        self._clock: Time = clock or SystemTime()
        self._head: Head | SnapshotFault | None = None
        self._changed = asyncio.Event()
        self._ready = asyncio.Event()
        self._parser = SnapshotParser()
        self.informer = Informer(
            client,
            CONFIG_MAPS,
            head_or_fault,
            namespace=namespace,
            fields=f"metadata.name={name}",
            on_change=self._on_head,
            clock=self._clock,
        )

    async def wait_ready(self) -> None:
        """Return once some snapshot is in force."""
        await self._ready.wait()

    async def run(self) -> NoReturn:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.informer.run(), name=f"watch of {self._name}")
            await self.informer.wait_synced()
            self._changed.set()
            while True:
                await self._changed.wait()
                self._changed.clear()
                await self._follow(self._head)

    def _on_head(self, change: Change[Head | SnapshotFault]) -> None:
        self._head = None if change.kind is ChangeKind.DELETED else change.value
        self._changed.set()

    async def _follow(self, head: Head | SnapshotFault | None) -> None:
        """Bring this head into force; tries again until it works or the head changes."""
        if head is None:
            self._trouble(f"no snapshot store {self._namespace}/{self._name}: is the operator running?")
            return
        if isinstance(head, SnapshotFault):
            self._trouble(str(head))
            return
        wanted = head.readable(READABLE_FORMATS)
        if wanted is None:
            self._trouble(f"nothing has been published to {self._namespace}/{self._name} yet")
            return
        self.published = wanted.version
        backoff = Backoff(limit_seconds=_LONGEST_RETRY_SECONDS)
        while not self._changed.is_set():
            fault = await self._try(wanted)
            if fault is None:
                self.problem = None
                return
            self._trouble(fault)
            if not self.version:
                await self._start_from(tuple(one for one in head.manifests if one != wanted))
            try:
                await within(self._clock, backoff.delay(), self._changed.wait())
            except TimeoutError:
                continue

    async def _start_from(self, others: tuple[Manifest, ...]) -> None:
        for manifest in others:
            if await self._try(manifest) is None:
                log.warning("started from the snapshot %s, which the store retains", manifest.version)
                return

    async def _try(self, manifest: Manifest) -> str | None:
        """Load and hand over one snapshot; what is wrong with it, else None."""
        if manifest.version == self.version:
            return None
        try:
            snapshot = await self._load(manifest)
            await self._on_snapshot(snapshot)
        except KubeError as error:
            return str(error)
        except Exception as error:
            log.exception("snapshot %s was refused", manifest.version)
            return f"snapshot {manifest.version} was refused: {error}"
        self.version = manifest.version
        self._ready.set()
        log.info("snapshot %s is in force", manifest.version)
        return None

    async def _load(self, manifest: Manifest) -> RoutingSnapshot:
        if len(manifest.shards) > MAX_SHARDS:
            raise SnapshotFault(f"snapshot {manifest.version} has too many shards: {len(manifest.shards)}")
        pieces = [await self._shard(ref.name) for ref in manifest.shards]
        content = await asyncio.to_thread(content_of, manifest, pieces)
        return await self._parser.parse(content, manifest.version, manifest.format)

    async def _shard(self, name: str) -> bytes:
        stored = await self._client.get(CONFIG_MAPS, name, self._namespace)
        try:
            return base64.b64decode(stored["binaryData"][SHARD_KEY], validate=True)
        except (KeyError, TypeError, binascii.Error) as error:
            raise SnapshotFault(f"ConfigMap {name} is no shard of a snapshot") from error

    def _trouble(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("%s; %s", problem, f"{self.version} stays in force" if self.version else "waiting")
        self.problem = problem
