"""What the operator keeps of a resource: small, and without what others wrote beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import orjson

from pilotage_api.findings import ResourceKey
from pilotage_api.resource import API_VERSION
from pilotage_kube.resource import MODEL_POOLS, ROUTE_POLICIES, TENANTS, ResourceType
from pilotage_kube.wire import Decode

OUR_TYPES: Final[tuple[ResourceType, ...]] = (MODEL_POOLS, ROUTE_POLICIES, TENANTS)


class Form(msgspec.Struct, frozen=True):
    """One generation of one resource, as its owner wrote it: enough to compile it again."""

    kind: str
    namespace: str
    name: str
    uid: str
    generation: int
    created: str
    """As the API server writes it; decides which of two resources is older."""
    spec: str
    """JSON."""

    @property
    def key(self) -> ResourceKey:
        """The resource's identity."""
        return ResourceKey(self.kind, self.namespace, self.name)

    @property
    def identity(self) -> tuple[str, int]:
        """Which life of the resource, and which generation of it."""
        return self.uid, self.generation

    def as_object(self) -> dict[str, Any]:
        """As `load_objects` takes it."""
        metadata: dict[str, Any] = {
            "name": self.name,
            "namespace": self.namespace,
            "uid": self.uid,
            "generation": self.generation,
        }
        if self.created:
            metadata["creationTimestamp"] = self.created
        found = {"apiVersion": API_VERSION, "kind": self.kind, "metadata": metadata}
        return found if self.spec == "null" else {**found, "spec": orjson.loads(self.spec)}


@dataclass(slots=True, frozen=True)
class Stored:
    """A resource as the API server holds it now."""

    form: Form
    resource_version: str
    status: Mapping[str, Any]

    key: ResourceKey
    """The resource's identity: that of its form."""


class _Meta(msgspec.Struct, frozen=True):
    name: str
    uid: str
    namespace: str = ""
    generation: int = 0
    resourceVersion: str = ""  # noqa: N815 - as on the wire
    creationTimestamp: str = ""  # noqa: N815 - the same


class _Object(msgspec.Struct, frozen=True):
    metadata: _Meta
    spec: msgspec.Raw = msgspec.Raw(b"null")
    status: msgspec.Raw = msgspec.Raw(b"null")


_OBJECT: Final = msgspec.json.Decoder(_Object)


def reads(resource: ResourceType) -> Decode[Stored]:
    """How an informer keeps a resource of this type."""
    kind = resource.kind

    def read(raw: memoryview) -> Stored:
        found = _OBJECT.decode(raw)
        meta = found.metadata
        spec = bytes(found.spec).decode()
        status = orjson.loads(bytes(found.status))
        form = Form(kind, meta.namespace, meta.name, meta.uid, meta.generation, meta.creationTimestamp, spec)
        return Stored(form, meta.resourceVersion, status if isinstance(status, dict) else {}, form.key)

    return read
