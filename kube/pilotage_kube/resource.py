"""Names of resource types and objects, and where they live under an API server."""

from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote


class ObjectKey(NamedTuple):
    """Names one object of a resource type; `namespace` is empty for cluster-scoped types."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(slots=True, frozen=True)
class ResourceType:
    """A resource type as the API server serves it."""

    group: str
    """Empty for the core group."""
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As objects write it: `v1`, `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_path(self) -> str:
        """Where the group's version is described and served."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
        """The URL path of the collection or of one object; no namespace means all."""
        parts = [self.group_path]
        if namespace and self.namespaced:
            parts.append(f"namespaces/{quote(namespace, safe='')}")
        parts.append(self.plural)
        if name:
            parts.append(quote(name, safe=""))
        if subresource:
            parts.append(subresource)
        return "/".join(parts)

    def object(self, name: str, namespace: str = "", **fields: Any) -> dict[str, Any]:
        """A new object of this type: the envelope, and `fields` beside it."""
        metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
        metadata.update(fields.pop("metadata", {}))
        return {"apiVersion": self.api_version, "kind": self.kind, "metadata": metadata, **fields}


CONFIG_MAPS = ResourceType("", "v1", "configmaps", "ConfigMap")
EVENTS = ResourceType("events.k8s.io", "v1", "events", "Event")
LEASES = ResourceType("coordination.k8s.io", "v1", "leases", "Lease")
NAMESPACES = ResourceType("", "v1", "namespaces", "Namespace", namespaced=False)
NODES = ResourceType("", "v1", "nodes", "Node", namespaced=False)
PODS = ResourceType("", "v1", "pods", "Pod")
SECRETS = ResourceType("", "v1", "secrets", "Secret")
SERVICES = ResourceType("", "v1", "services", "Service")
ENDPOINT_SLICES = ResourceType("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
CUSTOM_RESOURCE_DEFINITIONS = ResourceType(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
MODEL_POOLS = ResourceType("pilotage.dev", "v1alpha1", "modelpools", "ModelPool")
ROUTE_POLICIES = ResourceType("pilotage.dev", "v1alpha1", "routepolicies", "RoutePolicy")
TENANTS = ResourceType("pilotage.dev", "v1alpha1", "tenants", "Tenant")
INFERENCE_POOLS = ResourceType("inference.networking.k8s.io", "v1", "inferencepools", "InferencePool")
INFERENCE_OBJECTIVES = ResourceType("llm-d.ai", "v1alpha2", "inferenceobjectives", "InferenceObjective")
OLD_INFERENCE_OBJECTIVES = ResourceType(
    "inference.networking.x-k8s.io", "v1alpha2", "inferenceobjectives", "InferenceObjective"
)
"""Where InferenceObjectives were before they moved to llm-d's group."""


def key_of(obj: dict[str, Any]) -> ObjectKey:
    """The key of an object as the API server answered it."""
    metadata = obj["metadata"]
    return ObjectKey(metadata.get("namespace", ""), metadata["name"])
