"""Revisions kept beside the published snapshot, so that a last-known-good one survives the operator.

A resource that is invalid now does not say what it was when it was valid, and a compiled snapshot cannot be
turned back into resources. So each published version has the revisions it was compiled from beside it:
compressed, proved by a digest, in immutable ConfigMaps that are written before the snapshot and removed
after it.
"""

import asyncio
import base64
import binascii
import hashlib
import logging
import zlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import msgspec

from pilotage_api.findings import ResourceKey
from pilotage_kube.client import ApiClient
from pilotage_kube.errors import AlreadyExists, KubeError, NotFound
from pilotage_kube.resource import CONFIG_MAPS
from pilotage_operator.resource_revision import Form

log = logging.getLogger(__name__)

STORE_LABEL: Final = "pilotage.dev/forms-of"
VERSION_LABEL: Final = "pilotage.dev/snapshot-version"
_PART_BYTES: Final = 700 << 10
_MOST_PARTS: Final = 64
_MOST_BYTES: Final = 256 << 20
_DATA: Final = "data"
_HEADER: Final = "header"


class RevisionFault(KubeError):
    """Kept forms that cannot be used."""


class _Header(msgspec.Struct, frozen=True):
    version: str
    sequence: int
    """Of two sets for one version the later counts."""
    sha256: str
    """Of the content before compression."""
    size: int
    part: int
    parts: int


_HEADERS: Final = msgspec.json.Decoder(_Header)
_FORMS: Final = msgspec.json.Decoder(list[Form])


class RevisionStore:
    """Keeps the forms of each published version of one snapshot store."""

    def __init__(
        self, client: ApiClient, *, namespace: str, name: str, owner: dict[str, Any] | None = None
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._owner = owner
        self._sequence = 0

    async def keep(self, version: str, forms: Mapping[ResourceKey, Form]) -> None:
        """Keep these forms for this version. Raises ApiError, Unreachable, RevisionFault."""
        self._sequence += 1
        made = await asyncio.to_thread(_packed, tuple(forms.values()))
        digest, size, pieces = made
        for part, piece in enumerate(pieces):
            header = _Header(version, self._sequence, digest, size, part, len(pieces))
            await self._create(self._part_name(version, header), header, piece)

    async def load(self, version: str) -> dict[ResourceKey, Form] | None:
        """What was kept for this version; None where nothing whole is. Raises ApiError, Unreachable."""
        found: dict[tuple[int, str], dict[int, tuple[_Header, bytes]]] = {}
        for name in await self._names(f"{STORE_LABEL}={self._name},{VERSION_LABEL}={version}"):
            try:
                header, piece = _part_of(await self._client.get(CONFIG_MAPS, name, self._namespace))
            except (RevisionFault, NotFound) as error:
                log.warning("passing over %s: %s", name, error)
                continue
            self._sequence = max(self._sequence, header.sequence)
            found.setdefault((header.sequence, header.sha256), {})[header.part] = (header, piece)
        for _, parts in sorted(found.items(), reverse=True):
            try:
                forms = await asyncio.to_thread(_unpacked, parts)
            except RevisionFault as fault:
                log.warning("passing over kept revisions of snapshot %s: %s", version, fault)
                continue
            return {form.key: form for form in forms}
        return None

    async def holds(self, version: str) -> bool:
        """Whether anything is kept for this version. Raises ApiError, Unreachable."""
        return bool(await self._names(f"{STORE_LABEL}={self._name},{VERSION_LABEL}={version}"))

    async def retain(self, versions: Collection[str], newest: str) -> None:
        """Remove what belongs to none of these versions, and older sets of the newest."""
        for name in await self._names(f"{STORE_LABEL}={self._name}"):
            version, sequence = self._version_in(name)
            if version in versions and (version != newest or sequence == self._sequence):
                continue
            try:
                await self._client.delete(CONFIG_MAPS, name, self._namespace)
            except NotFound:
                log.debug("%s is gone already", name)

    def _part_name(self, version: str, header: _Header) -> str:
        return f"{self._name}-forms-{version}-{header.sequence}-{header.part}"

    def _version_in(self, name: str) -> tuple[str, int]:
        version, _, rest = name.removeprefix(f"{self._name}-forms-").partition("-")
        sequence = rest.partition("-")[0]
        return version, int(sequence) if sequence.isdigit() else -1

    async def _names(self, labels: str) -> list[str]:
        metas = await self._client.list_metadata(CONFIG_MAPS, self._namespace, labels=labels)
        return [meta.name for meta in metas]

    async def _create(self, name: str, header: _Header, piece: bytes) -> None:
        metadata: dict[str, Any] = {
            "labels": {
                "app.kubernetes.io/managed-by": "pilotage",
                STORE_LABEL: self._name,
                VERSION_LABEL: header.version,
            }
        }
        if self._owner is not None:
            metadata["ownerReferences"] = [self._owner]
        body = CONFIG_MAPS.object(
            name,
            self._namespace,
            metadata=metadata,
            immutable=True,
            data={_HEADER: msgspec.json.encode(header).decode()},
            binaryData={_DATA: base64.b64encode(piece).decode()},
        )
        try:
            await self._client.create(CONFIG_MAPS, body, self._namespace)
        except AlreadyExists:
            # of a former life that got no further: a set of that number which may be another's
            await self._client.delete(CONFIG_MAPS, name, self._namespace)
            await self._client.create(CONFIG_MAPS, body, self._namespace)


def _packed(forms: Iterable[Form]) -> tuple[str, int, list[bytes]]:
    content = msgspec.json.encode(sorted(forms, key=lambda form: (form.kind, form.namespace, form.name)))
    packed = zlib.compress(content, 6)
    pieces = [packed[at : at + _PART_BYTES] for at in range(0, len(packed), _PART_BYTES)]
    if len(content) > _MOST_BYTES or len(pieces) > _MOST_PARTS:
        raise RevisionFault(f"{len(content)} bytes of resources are too many to keep")
    return hashlib.sha256(content).hexdigest(), len(content), pieces


def _part_of(stored: Mapping[str, Any]) -> tuple[_Header, bytes]:
    try:
        header = _HEADERS.decode(stored["data"][_HEADER])
        return header, base64.b64decode(stored["binaryData"][_DATA], validate=True)
    except (KeyError, TypeError, msgspec.DecodeError, binascii.Error) as error:
        raise RevisionFault(f"no part of kept forms: {error}") from error


def _unpacked(parts: Mapping[int, tuple[_Header, bytes]]) -> list[Form]:
    header = next(iter(parts.values()))[0]
    if sorted(parts) != list(range(header.parts)) or header.size > _MOST_BYTES:
        raise RevisionFault("parts are missing")
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(b"".join(parts[at][1] for at in sorted(parts)), header.size + 1)
    except zlib.error as error:
        raise RevisionFault(f"cannot be unpacked: {error}") from error
    if hashlib.sha256(content).hexdigest() != header.sha256:
        raise RevisionFault("its digest differs")
    try:
        return _FORMS.decode(content)
    except msgspec.DecodeError as error:
        raise RevisionFault(f"cannot be read: {error}") from error
