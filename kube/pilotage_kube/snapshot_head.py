"""The small object that names what is published: a snapshot's version, digest and shards."""

from typing import Final

import msgspec

from pilotage_kube.errors import KubeError

FORMAT: Final = 1
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


class Head(msgspec.Struct, frozen=True):
    """What a store holds now."""

    current: Manifest | None = None
    """None: nothing has been published yet."""
    retained: tuple[Manifest, ...] = ()
    """Earlier snapshots that can still be loaded, newest first: to start from where the current one fails."""
    format: int = FORMAT


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
    if head.format != FORMAT:
        raise SnapshotFault(
            f"the snapshot store has format {head.format}, this version reads {FORMAT}: upgrade it"
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
    earlier = [one for one in (head.current, *head.retained) if one is not None]
    earlier = [one for one in earlier if one.version != manifest.version]
    kept = [one for place, one in enumerate(earlier) if place == 0 or one.version in keep]
    return Head(current=manifest, retained=tuple(kept[:MAX_RETAINED]))


def shard_names(head: Head) -> frozenset[str]:
    """Every shard that the head needs."""
    manifests = (head.current, *head.retained)
    return frozenset(shard.name for one in manifests if one is not None for shard in one.shards)
