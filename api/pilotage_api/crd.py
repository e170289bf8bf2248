"""CustomResourceDefinitions out of the resource types."""

from dataclasses import dataclass
from typing import Any, Final

from pilotage_api.modelpool import ModelPool, ModelPoolSpec
from pilotage_api.resource import GROUP, VERSION
from pilotage_api.routepolicy import RoutePolicy, RoutePolicySpec
from pilotage_api.status import ModelPoolStatus, ResourceStatus, RoutePolicyStatus, TenantStatus
from pilotage_api.structural_schema import structural_schema
from pilotage_api.tenant import Tenant, TenantSpec


@dataclass(slots=True, frozen=True)
class _Column:
    """What `kubectl get` shows of a resource."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0
    """Above 0 only with `-o wide`."""

    def as_dict(self) -> dict[str, Any]:
        shown: dict[str, Any] = {"name": self.name, "type": self.type, "jsonPath": self.path}
        if self.priority:
            shown["priority"] = self.priority
        return shown


def _condition(name: str) -> str:
    return f'.status.conditions[?(@.type=="{name}")].status'


_CONDITIONS: Final = (
    _Column("Accepted", _condition("Accepted")),
    _Column("Resolved", _condition("ResolvedRefs")),
    _Column("Programmed", _condition("Programmed")),
    _Column("Reason", ".status.reason"),
    _Column("Message", ".status.message", priority=1),
    _Column("Age", ".metadata.creationTimestamp", "date"),
)


def custom_resource_definitions() -> list[dict[str, Any]]:
    """The CRDs of all resource kinds, as plain data."""
    return [
        _definition(
            ModelPool,
            ModelPoolSpec,
            "mpool",
            ModelPoolStatus,
            # a list would show its first item only: the API server prints one result of a path
            _Column("Models", ".status.models"),
            _Column("Ready", ".status.endpointsReady"),
            _Column("Engine", ".spec.engine", priority=1),
            _Column("Allowed", ".spec.allowedNamespaces.from", priority=1),
        ),
        _definition(
            RoutePolicy,
            RoutePolicySpec,
            "rpol",
            RoutePolicyStatus,
            _Column("Match", ".spec.match.models"),
            _Column("Candidates", ".status.candidates"),
        ),
        _definition(
            Tenant,
            TenantSpec,
            "ptenant",
            TenantStatus,
            _Column("Models", ".status.models"),
            _Column("Spent", ".status.spent"),
            _Column("Held", ".status.held"),
            _Column("Resets", ".status.resets"),
        ),
    ]


def _definition(
    resource: type[ModelPool] | type[RoutePolicy] | type[Tenant],
    spec: type[ModelPoolSpec] | type[RoutePolicySpec] | type[TenantSpec],
    short: str,
    status: type[ResourceStatus],
    *columns: _Column,
) -> dict[str, Any]:
    kind = resource.__name__
    singular = kind.lower()
    plural = f"{singular[:-1]}ies" if singular.endswith("y") else f"{singular}s"
    schema = {
        "description": resource.__doc__,
        "type": "object",
        "required": ["metadata", "spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural_schema(spec),
            "status": structural_schema(status),
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": singular,
                "shortNames": [short],
                "categories": ["pilotage"],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [one.as_dict() for one in (*columns, *_CONDITIONS)],
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }
