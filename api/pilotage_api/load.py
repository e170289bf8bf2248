"""Resources out of text. Pure: text in, resources and findings out; one bad document spoils no other."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pilotage_api.findings import Finding, ResourceKey, Severity
from pilotage_api.modelpool import ModelPool
from pilotage_api.resource import API_VERSION, DEFAULT_NAMESPACE, GROUP
from pilotage_api.routepolicy import RoutePolicy
from pilotage_api.settings import GatewaySettings
from pilotage_api.validation import reserved_findings, validated
from pilotage_api.yaml_text import YamlError, read_documents

Resource = ModelPool | RoutePolicy
_KINDS: dict[str, type[ModelPool] | type[RoutePolicy]] = {"ModelPool": ModelPool, "RoutePolicy": RoutePolicy}
SETTINGS_KIND = "GatewaySettings"


@dataclass(slots=True)
class Loaded:
    """What a set of texts holds."""

    resources: dict[ResourceKey, Resource] = field(default_factory=dict)
    refused: set[ResourceKey] = field(default_factory=set)
    """Resources that are there but wrong."""
    namespace_labels: dict[str, dict[str, str]] = field(default_factory=dict)
    settings: GatewaySettings | None = None
    findings: list[Finding] = field(default_factory=list)
    sources: dict[ResourceKey, str] = field(default_factory=dict)
    """Where each resource came from."""
    unreadable: set[str] = field(default_factory=set)
    """Files that are not usable YAML: nobody knows what they held."""


def load_texts(texts: Iterable[tuple[str, str]]) -> Loaded:
    """Read `(file name, text)` pairs. Never raises for what a text holds."""
    loaded = Loaded()
    for name, text in texts:
        try:
            documents = read_documents(text)
        except YamlError as error:
            fix = "correct the file; its last good content stays in force where a gateway runs"
            loaded.findings.append(Finding(Severity.ERROR, "unreadable", str(error), None, "", fix, name))
            loaded.unreadable.add(name)
            continue
        for document in documents:
            _take(document.value, f"{name}:{document.line}", loaded)
    return loaded


def _take(value: Any, source: str, loaded: Loaded) -> None:
    if not isinstance(value, dict):
        message = f"a document must be a resource, not {type(value).__name__}"
        loaded.findings.append(
            Finding(Severity.ERROR, "not-a-resource", message, None, "", "write kind, metadata, spec", source)
        )
        return
    kind, version = value.get("kind"), value.get("apiVersion")
    if isinstance(kind, str) and kind.endswith("List") and isinstance(value.get("items"), list):
        for item in value["items"]:
            _take(item, source, loaded)
    elif kind == "Namespace" and version == "v1":
        _take_namespace(value, loaded)
    elif not isinstance(version, str) or version.partition("/")[0] != GROUP:
        message = f"skipped {version!r} {kind!r}: not a resource of {GROUP}"
        loaded.findings.append(Finding(Severity.INFO, "foreign", message, None, "", "", source))
    elif version != API_VERSION:
        message = f"apiVersion {version!r} is not known"
        fix = f"write apiVersion: {API_VERSION}"
        loaded.findings.append(
            Finding(Severity.ERROR, "unknown-version", message, None, "apiVersion", fix, source)
        )
    elif kind == SETTINGS_KIND:
        _take_settings(value, source, loaded)
    elif kind in _KINDS:
        _take_resource(_KINDS[kind], value, source, loaded)
    else:
        message = f"kind {kind!r} is not known"
        fix = f"known: {', '.join([*_KINDS, SETTINGS_KIND])}"
        loaded.findings.append(Finding(Severity.ERROR, "unknown-kind", message, None, "kind", fix, source))


def _take_namespace(value: dict[str, Any], loaded: Loaded) -> None:
    metadata = value.get("metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get("name"), str):
        labels = metadata.get("labels") or {}
        if isinstance(labels, dict):
            loaded.namespace_labels[metadata["name"]] = {str(k): str(v) for k, v in labels.items()}


def _take_settings(value: dict[str, Any], source: str, loaded: Loaded) -> None:
    settings, findings = load_settings(value.get("spec") or {}, source)
    loaded.findings += findings
    if loaded.settings is not None:
        message = f"a second {SETTINGS_KIND}; the first one counts"
        loaded.findings.append(
            Finding(Severity.ERROR, "duplicate", message, None, "", "keep one of them", source)
        )
    elif settings is not None:
        loaded.settings = settings


def load_settings(spec: Any, source: str) -> tuple[GatewaySettings | None, list[Finding]]:
    """Settings out of the `spec` of a GatewaySettings document."""
    return validated(GatewaySettings, spec, ResourceKey(SETTINGS_KIND, "", "pilotage"), source)


def _take_resource(
    model: type[ModelPool] | type[RoutePolicy], value: dict[str, Any], source: str, loaded: Loaded
) -> None:
    key = _key_of(model.__name__, value)
    if key in loaded.sources:
        message = f"stands twice; the first, in {loaded.sources[key]}, counts"
        loaded.findings.append(
            Finding(
                Severity.ERROR, "duplicate", message, key, "metadata.name", "rename or remove one", source
            )
        )
        return
    loaded.sources[key] = source
    unknown = value.keys() - {"apiVersion", "kind", "metadata", "spec", "status"}
    resource, findings = validated(model, value, key, source)
    for name in sorted(unknown):
        message = f"unknown field {name[:80]!r}"
        findings.append(
            Finding(
                Severity.ERROR, "unknown-field", message, key, name, "put it under spec, or remove it", source
            )
        )
    if resource is not None:
        findings += reserved_findings(resource.spec, "spec", key, source)
    loaded.findings += findings
    if findings or resource is None:
        loaded.refused.add(key)
    else:
        loaded.resources[key] = resource


def _key_of(kind: str, value: dict[str, Any]) -> ResourceKey:
    metadata = value.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    return ResourceKey(kind, str(metadata.get("namespace", DEFAULT_NAMESPACE)), str(metadata.get("name", "")))
