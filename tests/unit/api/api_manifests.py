"""Manifests as plain data, and short ways to load and compile them."""

from typing import Any

import yaml

from pilotage_api.compile import Compiled, compile_resources
from pilotage_api.findings import Finding
from pilotage_api.load import Loaded, load_texts
from pilotage_api.settings import GatewaySettings


def pool(
    name: str,
    models: Any = None,
    *,
    namespace: str = "default",
    created: str | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """A ModelPool; `models` may be names or full blocks."""
    metadata = {"name": name, "namespace": namespace}
    if created is not None:
        metadata["creationTimestamp"] = created
    blocks = [
        {"name": one} if isinstance(one, str) else one
        for one in ([f"model-of-{name}"] if models is None else models)
    ]
    endpoints = spec.pop("endpoints", [{"address": "10.0.0.1", "port": 8000}])
    return {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "ModelPool",
        "metadata": metadata,
        "spec": {"endpoints": endpoints, "models": blocks, **spec},
    }


def policy(
    name: str,
    match: dict[str, Any] | None = None,
    candidates: Any = ("small",),
    *,
    namespace: str = "default",
    created: str | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """A RoutePolicy; `candidates` may be names or full blocks."""
    metadata = {"name": name, "namespace": namespace}
    if created is not None:
        metadata["creationTimestamp"] = created
    blocks = [{"model": one} if isinstance(one, str) else one for one in candidates]
    return {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "RoutePolicy",
        "metadata": metadata,
        "spec": {"match": match or {}, "rules": [{"candidates": blocks}], **spec},
    }


def namespace(name: str, **labels: str) -> dict[str, Any]:
    """A Namespace with labels."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def load(*resources: Any) -> Loaded:
    """Load resources as one file of several documents."""
    return load_texts([("all.yaml", yaml.safe_dump_all(resources))])


def compiled(*resources: Any, namespaces: tuple[str, ...] = ("default",), **settings: Any) -> Compiled:
    """Load and compile."""
    return compile_resources(load(*resources), GatewaySettings(namespaces=namespaces, **settings))


def brief(findings: Any) -> list[tuple[str, str, str]]:
    """Severity, code and path of each finding."""
    return [(one.severity.value, one.code, one.path) for one in findings]


def only(findings: Any) -> Finding:
    """The one finding there is."""
    [finding] = findings
    return finding
