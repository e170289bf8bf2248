"""A snapshot as bytes: compressed, cut to fit ConfigMaps, and verified before a byte of it is believed."""

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar, get_args, get_origin

import msgspec
from pydantic import TypeAdapter, ValidationError

from pilotage_api.part import Part
from pilotage_api.previous_snapshot import (
    FORMAT,
    PREVIOUS_FORMAT,
    READABLE_FORMATS,
    Previous,
    PreviousSnapshot,
)
from pilotage_api.snapshot import RoutingSnapshot
from pilotage_kube.snapshot_head import Manifest, ShardRef, SnapshotFault
from pilotage_kube.turns import Turns

T = TypeVar("T", bound=Part)

SHARD_BYTES: Final = 700 << 10
"""Of compressed data; a ConfigMap may hold 1 MiB."""
MAX_CONTENT_BYTES: Final = 256 << 20
MAX_SHARDS: Final = 64
_LEVEL: Final = 6


@dataclass(slots=True, frozen=True)
class Encoded:
    """A snapshot ready to be published."""

    manifest: Manifest
    data: tuple[bytes, ...]
    """Of each shard, in order."""

    @property
    def shards(self) -> Iterator[tuple[ShardRef, bytes]]:
        """Each shard with its data."""
        return zip(self.manifest.shards, self.data, strict=True)


def encode(snapshot: RoutingSnapshot, shard_prefix: str, shard_bytes: int = SHARD_BYTES) -> Encoded:
    """Compress and cut. The content is exactly what `version` is the digest of, so one hash proves both.

    Raises ValueError for a snapshot that is not sealed, SnapshotFault for one too large to publish.
    """
    encoded = _encoded(snapshot.content(), FORMAT, shard_prefix, shard_bytes)
    if snapshot.version != encoded.manifest.version:
        raise ValueError("the snapshot is not sealed: publish what sealed() returns")
    return encoded


def encode_previous(snapshot: PreviousSnapshot, shard_prefix: str, shard_bytes: int = SHARD_BYTES) -> Encoded:
    """The same for a snapshot of the format before. Raises SnapshotFault for one too large to publish."""
    return _encoded(snapshot.content(), PREVIOUS_FORMAT, shard_prefix, shard_bytes)


def _encoded(content: bytes, content_format: int, shard_prefix: str, shard_bytes: int) -> Encoded:
    digest = hashlib.sha256(content).hexdigest()
    packed = zlib.compress(content, _LEVEL)
    pieces = tuple(packed[at : at + shard_bytes] for at in range(0, len(packed), shard_bytes))
    if len(content) > MAX_CONTENT_BYTES or len(pieces) > MAX_SHARDS:
        raise SnapshotFault(f"a snapshot of {len(content)} bytes is too large to publish")
    refs = []
    for piece in pieces:
        sha256 = hashlib.sha256(piece).hexdigest()
        refs.append(ShardRef(f"{shard_prefix}{sha256[:20]}", sha256))
    return Encoded(Manifest(digest[:16], digest, len(content), tuple(refs), content_format), pieces)


def content_of(manifest: Manifest, pieces: Sequence[bytes]) -> bytes:
    """Join, verify and unpack, never past the size the manifest names. Raises SnapshotFault."""
    if manifest.size > MAX_CONTENT_BYTES or len(manifest.shards) > MAX_SHARDS:
        raise SnapshotFault(f"snapshot {manifest.version} claims {manifest.size} bytes: too large")
    for ref, piece in zip(manifest.shards, pieces, strict=True):
        if hashlib.sha256(piece).hexdigest() != ref.sha256:
            raise SnapshotFault(f"shard {ref.name} is not what the head says: its digest differs")
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(b"".join(pieces), manifest.size + 1)
    except zlib.error as error:
        raise SnapshotFault(f"snapshot {manifest.version} cannot be unpacked: {error}") from error
    if len(content) != manifest.size:
        raise SnapshotFault(f"snapshot {manifest.version} has not the size the head says")
    digest = hashlib.sha256(content).hexdigest()
    if digest != manifest.sha256 or digest[:16] != manifest.version:
        raise SnapshotFault(f"snapshot {manifest.version} is not what the head says: its digest differs")
    return content


class SnapshotParser:
    """Makes a snapshot of verified content part by part, so that a large one does not hold the event loop."""

    def __init__(self) -> None:
        self._fields: Final = {
            FORMAT: _field_parsers(RoutingSnapshot),
            PREVIOUS_FORMAT: _field_parsers(PreviousSnapshot),
        }
        self._document: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])

    async def parse(self, content: bytes, version: str, content_format: int = FORMAT) -> RoutingSnapshot:
        """The sealed snapshot, in today's format whatever it was published in.

        Raises SnapshotFault for a format, field or value this version does not know.
        """
        fields = self._fields.get(content_format)
        if fields is None:
            raise SnapshotFault(
                f"snapshot {version} has format {content_format}, this version reads "
                f"{' and '.join(map(str, READABLE_FORMATS))}: upgrade extproc"
            )
        turns = Turns()
        values: dict[str, Any] = {}
        try:
            for name, raw in self._document.decode(content).items():
                if name not in fields:
                    raise SnapshotFault(
                        f"snapshot {version} has the field {name!r}, unknown here: upgrade extproc"
                    )
                values[name] = await fields[name].parse(raw, turns)
        except (msgspec.DecodeError, ValidationError) as error:
            raise SnapshotFault(f"snapshot {version} cannot be read: {_first_line(error)}") from error
        if content_format == PREVIOUS_FORMAT:
            values["pools"] = await _upgraded(values.get("pools", ()), turns)
            values["routes"] = await _upgraded(values.get("routes", ()), turns)
        return RoutingSnapshot.model_construct(**{**values, "version": version})


async def _upgraded(parts: Sequence[Previous[T]], turns: Turns) -> tuple[T, ...]:
    upgraded = []
    for part in parts:
        upgraded.append(part.upgraded())
        await turns.give()
    return tuple(upgraded)


def _field_parsers(model: type[Part]) -> "dict[str, _FieldParser]":
    return {name: _FieldParser(field.annotation) for name, field in model.model_fields.items()}


class _FieldParser:
    """Reads one top-level field: lists and maps item by item, anything else at once."""

    def __init__(self, annotation: Any) -> None:
        origin, arguments = get_origin(annotation), get_args(annotation)
        self._list = origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis
        self._map = origin is dict and arguments[0] is str
        item = arguments[0] if self._list else arguments[1] if self._map else annotation
        self._item: TypeAdapter[Any] = TypeAdapter(item)

    async def parse(self, raw: msgspec.Raw, turns: Turns) -> Any:
        if self._list:
            items = []
            for one in msgspec.json.decode(raw, type=list[msgspec.Raw]):
                items.append(self._item.validate_json(bytes(one)))
                await turns.give()
            return tuple(items)
        if self._map:
            entries = {}
            for key, one in msgspec.json.decode(raw, type=dict[str, msgspec.Raw]).items():
                entries[key] = self._item.validate_json(bytes(one))
                await turns.give()
            return entries
        return self._item.validate_json(bytes(raw))


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error)
