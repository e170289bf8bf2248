"""Publishing snapshots: shards first, then the head that names them, then the old shards go.

A reader that follows the head thus never meets a version whose shards are not there, and a publisher that
dies in between has changed nothing that anyone reads.
"""

import asyncio
import base64
import logging
from collections.abc import Collection
from typing import Any

from pilotage_api.previous_snapshot import Lowered
from pilotage_api.snapshot import RoutingSnapshot
from pilotage_kube.client import ApiClient
from pilotage_kube.errors import AlreadyExists, Conflict, NotFound
from pilotage_kube.resource import CONFIG_MAPS
from pilotage_kube.snapshot_codec import SHARD_BYTES, Encoded, encode, encode_previous
from pilotage_kube.snapshot_head import (
    HEAD_KEY,
    VERSION_KEY,
    Head,
    Manifest,
    SnapshotFault,
    head_text,
    read_head,
    shard_names,
    successor,
    successor_for_older,
)

log = logging.getLogger(__name__)

STORE_LABEL = "pilotage.dev/snapshot-store"
SHARD_KEY = "data"
_ATTEMPTS = 4


class SnapshotPublisher:
    """Writes one snapshot store: a head ConfigMap of this name, and its shards beside it.

    `owner` is an owner reference for the head (the operator's Deployment, say); the shards belong to the
    head, so whoever deletes that deletes all.
    """

    def __init__(
        self,
        client: ApiClient,
        *,
        namespace: str,
        name: str = "pilotage-snapshot",
        owner: dict[str, Any] | None = None,
        shard_bytes: int = SHARD_BYTES,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._owner = owner
        self._shard_bytes = shard_bytes
        self.writes = 0
        """API writes so far."""

    async def publish(
        self, snapshot: RoutingSnapshot, keep: Collection[str] = (), older: Lowered | None = None
    ) -> Manifest:
        """Make this sealed snapshot the newest one; repeating it repairs what is missing.

        The predecessor stays loadable, and so do the versions of `keep` (those that replicas still run).
        `older` is what replicas follow that read the format before only; None: there are none. Where it has
        no snapshot, the last one published in that format stays in force for them.
        Raises ApiError, Unreachable, SnapshotFault; whatever was published before then still is.
        """
        for attempt in range(_ATTEMPTS):
            try:
                return await self._publish(snapshot, frozenset(keep), older)
            except Conflict:
                if attempt == _ATTEMPTS - 1:
                    raise
                log.info("the head of snapshot store %s changed meanwhile: reading it again", self._name)
        raise AssertionError

    async def published(self) -> Head:
        """What the store holds. Raises NotFound where there is no store, SnapshotFault for a bad head."""
        head = await self._client.get(CONFIG_MAPS, self._name, self._namespace)
        return read_head((head.get("data") or {}).get(HEAD_KEY))

    async def _publish(
        self, snapshot: RoutingSnapshot, keep: frozenset[str], older: Lowered | None
    ) -> Manifest:
        stored = await self._head_object()
        before = self._readable(stored)
        prefix = f"{self._name}-{stored['metadata']['uid'][:8]}-"
        encoded = await asyncio.to_thread(encode, snapshot, prefix, self._shard_bytes)
        previous: Encoded | None = None
        if older is not None and older.snapshot is not None:
            previous = await asyncio.to_thread(encode_previous, older.snapshot, prefix, self._shard_bytes)
        labels = f"{STORE_LABEL}={self._name}"
        there = await self._client.list_metadata(CONFIG_MAPS, self._namespace, labels=labels)
        names = {meta.name for meta in there}
        for ref, data in (pair for one in (encoded, previous) if one is not None for pair in one.shards):
            if ref.name not in names:
                await self._create_shard(ref.name, data, stored)
        if older is None:
            after = successor(before, encoded.manifest, keep)
        else:
            lower = None if previous is None else previous.manifest
            after = successor_for_older(before, encoded.manifest, lower, keep)
        if after != before:
            stored["data"] = {HEAD_KEY: head_text(after), VERSION_KEY: snapshot.version}
            await self._client.replace(CONFIG_MAPS, stored, self._namespace)
            self.writes += 1
        for name in names - shard_names(after) - {self._name}:
            await self._delete_shard(name)
        return encoded.manifest

    async def _head_object(self) -> dict[str, Any]:
        try:
            return await self._client.get(CONFIG_MAPS, self._name, self._namespace)
        except NotFound:
            pass
        metadata: dict[str, Any] = {"labels": self._labels()}
        if self._owner is not None:
            metadata["ownerReferences"] = [self._owner]
        empty = {HEAD_KEY: head_text(Head())}
        body = CONFIG_MAPS.object(self._name, self._namespace, metadata=metadata, data=empty)
        self.writes += 1
        try:
            return await self._client.create(CONFIG_MAPS, body, self._namespace)
        except AlreadyExists:
            return await self._client.get(CONFIG_MAPS, self._name, self._namespace)

    def _readable(self, stored: dict[str, Any]) -> Head:
        try:
            return read_head((stored.get("data") or {}).get(HEAD_KEY))
        except SnapshotFault as fault:
            log.warning("overwriting what is in snapshot store %s: %s", self._name, fault)
            return Head()

    async def _create_shard(self, name: str, data: bytes, head: dict[str, Any]) -> None:
        owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": self._name, "uid": head["metadata"]["uid"]}
        body = CONFIG_MAPS.object(
            name,
            self._namespace,
            metadata={"labels": self._labels(), "ownerReferences": [owner]},
            immutable=True,
            binaryData={SHARD_KEY: base64.b64encode(data).decode()},
        )
        self.writes += 1
        try:
            await self._client.create(CONFIG_MAPS, body, self._namespace)
        except AlreadyExists:
            log.debug("shard %s is there already", name)

    async def _delete_shard(self, name: str) -> None:
        self.writes += 1
        try:
            await self._client.delete(CONFIG_MAPS, name, self._namespace)
        except NotFound:
            log.debug("shard %s is gone already", name)

    def _labels(self) -> dict[str, str]:
        return {"app.kubernetes.io/managed-by": "pilotage", STORE_LABEL: self._name}
