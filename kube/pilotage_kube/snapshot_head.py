"""The small object that names what is published: a snapshot's version, digest and shards."""

from collections.abc import Collection
from typing import Final

import msgspec

from pilotage_api.previous_snapshot import PREVIOUS_FORMAT
from pilotage_kube.errors import KubeError

HEAD_FORMAT: Final = 1
"""Of the head itself; each manifest names that of its snapshot."""
HEAD_KEY: Final = "head"
VERSION_KEY: Final = "version"
MAX_RETAINED: Final = 4


class SnapshotFault(KubeError):
    """What is published cannot be used; the last good snapshot stays in force."""


class ShardRef(msgspec.Struct, frozen=True):
    """One shard: the ConfigMap's name, and the SHA-256 of its data."""

    name: str
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """One published snapshot."""

    version: str
    """`RoutingSnapshot.version`: the first 16 hex digits of `sha256`."""
    sha256: str
    """Of the content before compression."""
    size: int
    """Bytes before compression."""
    shards: tuple[ShardRef, ...]
    format: int = 1
    """Of the content; publishers that knew one format only named none."""


class Head(msgspec.Struct, frozen=True):
    """What a store holds now."""

    current: Manifest | None = None
    """What everyone may follow who reads its format; None: nothing has been published yet."""
    retained: tuple[Manifest, ...] = ()
    """Earlier snapshots that can still be loaded, newest first: to start from where the current one fails."""
    format: int = HEAD_FORMAT
    newest: Manifest | None = None
    """The newest snapshot where `current` is in an older format, for readers that know no other: they look
    at `current` only. None where there are none, and after an operator that knows no `newest`."""

    @property
    def latest(self) -> Manifest | None:
        """The newest snapshot, in whatever format."""
        return self.newest or self.current

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        """All that can be loaded, newest first."""
        named = (self.newest, self.current, *self.retained)
        return tuple(dict.fromkeys(one for one in named if one is not None))

    def readable(self, formats: Collection[int]) -> Manifest | None:
        """The newest snapshot in one of these formats that is to be followed; else `current`, as it is."""
        return self.newest if self.newest is not None and self.newest.format in formats else self.current


class _ConfigMap(msgspec.Struct, frozen=True):
    data: dict[str, str] = {}


_HEAD: Final = msgspec.json.Decoder(Head)
_CONFIG_MAP: Final = msgspec.json.Decoder(_ConfigMap)


def head_text(head: Head) -> str:
    """As the head's ConfigMap holds it."""
    return msgspec.json.encode(head).decode()


def read_head(text: str | None) -> Head:
    """Read it back. Raises SnapshotFault."""
    if not text:
        raise SnapshotFault("the head of the snapshot store is empty")
    try:
        head = _HEAD.decode(text)
    except msgspec.DecodeError as error:
        raise SnapshotFault(f"the head of the snapshot store cannot be read: {error}") from error
    if head.format != HEAD_FORMAT:
        raise SnapshotFault(
            f"the snapshot store has format {head.format}, this version reads {HEAD_FORMAT}: upgrade it"
        )
    return head


def head_or_fault(raw: memoryview) -> Head | SnapshotFault:
    """Read a head's ConfigMap, as an informer keeps it."""
    try:
        return read_head(_CONFIG_MAP.decode(raw).data.get(HEAD_KEY))
    except SnapshotFault as fault:
        return fault
    except msgspec.DecodeError as error:
        return SnapshotFault(f"the head of the snapshot store cannot be read: {error}")


def successor(head: Head, manifest: Manifest, keep: frozenset[str]) -> Head:
    """The head after `manifest` is published: its predecessor is retained, and those of `keep`, bounded."""
    return Head(current=manifest, retained=_retained(head, {manifest.version}, keep))


def successor_for_older(head: Head, manifest: Manifest, older: Manifest | None, keep: frozenset[str]) -> Head:
    """The same while some reader knows the format before only: it follows `older`.

    None: the snapshot cannot be said in that format, and the last one that could stays in force for it.
    """
    older = older or next((one for one in head.manifests if one.format == PREVIOUS_FORMAT), None)
    if older is None:
        return successor(head, manifest, keep)
    taken = {manifest.version, older.version}
    return Head(current=older, newest=manifest, retained=_retained(head, taken, keep))


def _retained(head: Head, taken: Collection[str], keep: frozenset[str]) -> tuple[Manifest, ...]:
    earlier = [one for one in head.manifests if one.version not in taken]
    kept = [one for place, one in enumerate(earlier) if place == 0 or one.version in keep]
    return tuple(kept[:MAX_RETAINED])


def shard_names(head: Head) -> frozenset[str]:
    """Every shard that the head needs."""
    return frozenset(shard.name for one in head.manifests for shard in one.shards)
