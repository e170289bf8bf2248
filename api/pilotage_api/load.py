"""Resources out of text. Pure: text in, resources and findings out; one bad document spoils no other."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from pilotage_api.document import Origin, TextError
from pilotage_api.findings import Finding, ResourceKey, Severity, shown
from pilotage_api.modelpool import ModelPool
from pilotage_api.resource import API_VERSION, DEFAULT_NAMESPACE, GROUP
from pilotage_api.routepolicy import RoutePolicy
from pilotage_api.settings import GatewaySettings
from pilotage_api.tenant import Tenant
from pilotage_api.unidentified import (
    SETTINGS_KIND,
    Meant,
    is_key_file,
    meant_for_us,
    meant_kind,
    other_version,
)
from pilotage_api.validation import block_findings, field_path, unknown_field, validated
from pilotage_api.yaml_text import read_documents

Resource = ModelPool | RoutePolicy | Tenant
ResourceClass = type[ModelPool] | type[RoutePolicy] | type[Tenant]
_KINDS: dict[str, ResourceClass] = {"ModelPool": ModelPool, "RoutePolicy": RoutePolicy, "Tenant": Tenant}
SETTINGS_KEY: Final = ResourceKey(SETTINGS_KIND, "", "pilotage")
_TOP_FIELDS: Final = ("apiVersion", "kind", "metadata", "spec", "status")
_METADATA_FIELDS: Final = (
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
)
_LABELS: Final = TypeAdapter(dict[str, str])


@dataclass(slots=True)
class Loaded:
    """What a set of texts, or of objects, holds."""

    namespace: str = DEFAULT_NAMESPACE
    """Of resources that name none."""
    resources: dict[ResourceKey, Resource] = field(default_factory=dict)
    refused: set[ResourceKey] = field(default_factory=set)
    """Resources that are there but wrong."""
    refused_specs: dict[ResourceKey, Any] = field(default_factory=dict)
    """The `spec` of each, as written: what it was to govern is refused."""
    namespace_labels: dict[str, dict[str, str]] = field(default_factory=dict)
    settings: GatewaySettings | None = None
    findings: list[Finding] = field(default_factory=list)
    origins: dict[ResourceKey, Origin] = field(default_factory=dict)
    """Where each resource, namespace and the settings come from."""
    unreadable: set[str] = field(default_factory=set)
    """Files of which something cannot be told what it is: nobody knows what else they hold."""
    foreign: set[tuple[str, str]] = field(default_factory=set)
    """apiVersion and kind of what was skipped, each reported once."""

    def at(self, key: ResourceKey | None, path: str = "") -> str:
        """`FILE:LINE` of a resource's field; empty where it came from no file."""
        origin = self.origins.get(key) if key is not None else None
        return origin.at(path) if origin is not None else ""

    def find(
        self, severity: Severity, code: str, message: str, key: ResourceKey | None, path: str, fix: str
    ) -> None:
        """Add a finding about a resource's field, with the line it stands on."""
        self.findings.append(Finding(severity, code, message, key, path, fix, self.at(key, path)))

    def add_unread(self, findings: list[Finding]) -> None:
        """Files that could not be read at all: their findings come first."""
        self.findings[:0] = findings
        self.unreadable |= {finding.source for finding in findings}

    def is_apart_from(self, other: "Loaded") -> bool:
        """Whether the two hold nothing in common that counts, or is told, once."""
        return self.origins.keys().isdisjoint(other.origins) and self.foreign.isdisjoint(other.foreign)

    def add(self, other: "Loaded") -> None:
        """Take all of another that is apart from this, behind what is here."""
        self.resources.update(other.resources)
        self.refused |= other.refused
        self.refused_specs.update(other.refused_specs)
        self.namespace_labels.update(other.namespace_labels)
        self.settings = self.settings or other.settings
        self.findings += other.findings
        self.origins.update(other.origins)
        self.unreadable |= other.unreadable
        self.foreign |= other.foreign

    def replace_by(self, other: "Loaded") -> None:
        """Take what the other holds, right or wrong, for what stands here under the same names."""
        self.resources.update(other.resources)
        self.refused |= other.refused
        self.refused_specs.update(other.refused_specs)
        self.namespace_labels.update(other.namespace_labels)
        self.origins.update(other.origins)
        self.unreadable |= other.unreadable
        replaced = other.resources.keys() | other.refused
        self.findings = [one for one in self.findings if one.resource not in replaced] + other.findings


def load_texts(texts: Iterable[tuple[str, str]], namespace: str = DEFAULT_NAMESPACE) -> Loaded:
    """Read `(file name, text)` pairs of YAML, or JSON if the name says so. Never raises for the content.

    Resources that name no namespace are in `namespace`.
    """
    loaded = Loaded(namespace)
    for name, text in texts:
        take_text(name, text, loaded)
    return loaded


def take_text(name: str, text: str, loaded: Loaded) -> None:
    """Add what one more text holds; of what stands twice the first counts."""
    try:
        documents = read_documents(text, name)
    except TextError as error:
        fix = "correct the file; its last good content stays in force where a gateway runs"
        source = f"{name}:{error.line}" if error.line else name
        loaded.findings.append(Finding(Severity.ERROR, "unreadable", str(error), None, "", fix, source))
        loaded.unreadable.add(name)
        return
    for document in documents:
        _take(document.value, Origin(name, document), loaded)


def load_objects(objects: Iterable[Any]) -> Loaded:
    """Take objects as an API server gives them. Never raises for what they hold."""
    loaded = Loaded()
    for value in objects:
        _take(value, Origin(), loaded)
    return loaded


def _take(value: Any, origin: Origin, loaded: Loaded) -> None:
    if not isinstance(value, dict):
        message = f"a document must be a resource, not {type(value).__name__}"
        _unidentified("not-a-resource", message, "", "write apiVersion, kind, metadata, spec", origin, loaded)
        return
    kind, version = value.get("kind"), value.get("apiVersion")
    if isinstance(kind, str) and kind.endswith("List") and isinstance(value.get("items"), list):
        for index, item in enumerate(value["items"]):
            _take(item, origin.item(index), loaded)
    elif kind == "Namespace" and version == "v1":
        _take_namespace(value, origin, loaded)
    elif not isinstance(version, str) or version.partition("/")[0] != GROUP:
        _take_foreign(value, origin, loaded)
    elif version != API_VERSION:
        _take_meant(other_version(value), origin, loaded)
    elif kind == SETTINGS_KIND:
        _take_settings(value, origin, loaded)
    elif isinstance(kind, str) and kind in _KINDS:
        _take_resource(_KINDS[kind], value, origin, loaded)
    else:
        _take_meant(meant_kind(value), origin, loaded)


def _unidentified(code: str, message: str, path: str, fix: str, origin: Origin, loaded: Loaded) -> None:
    """Something that is meant for us, or may be: a resource of this file may be hidden behind it."""
    loaded.findings.append(Finding(Severity.ERROR, code, message, None, path, fix, origin.at(path)))
    _doubt(origin, loaded)


def _doubt(origin: Origin, loaded: Loaded) -> None:
    if origin.file:
        loaded.unreadable.add(origin.file)


def _take_meant(meant: Meant, origin: Origin, loaded: Loaded) -> None:
    key = SETTINGS_KEY if meant.kind == SETTINGS_KIND else None
    loaded.findings.append(
        Finding(Severity.ERROR, meant.code, meant.message, key, meant.path, meant.fix, origin.at(meant.path))
    )
    _doubt(origin, loaded)


def _take_foreign(value: dict[str, Any], origin: Origin, loaded: Loaded) -> None:
    meant = meant_for_us(value, origin.file)
    if meant is not None:
        _take_meant(meant, origin, loaded)
        return
    if is_key_file(value):
        return  # the gateway that follows this folder reads it
    named = (shown(value.get("apiVersion")), shown(value.get("kind")))
    if named in loaded.foreign:
        return
    loaded.foreign.add(named)
    missing = "apiVersion" not in value and "kind" not in value
    what = "what has neither apiVersion nor kind" if missing else " ".join(named)
    message = f"skipped {what}, like others of the kind: not a resource of {GROUP}"
    fix = "keep other manifests in another folder"
    loaded.findings.append(Finding(Severity.WARNING, "foreign", message, None, "", fix, origin.at()))


def _take_namespace(value: dict[str, Any], origin: Origin, loaded: Loaded) -> None:
    key = _key_of("Namespace", value)
    key = ResourceKey("Namespace", "", key.name)
    labels: Any = {}
    if isinstance(value.get("metadata"), dict):
        labels = value["metadata"].get("labels") or {}
    if not key.name:
        _unidentified("missing-field", "a Namespace needs metadata.name", "metadata", "", origin, loaded)
    elif _is_first(key, origin, loaded):
        try:
            loaded.namespace_labels[key.name] = _LABELS.validate_python(labels)
        except ValidationError:
            message, path = "labels must be strings", "metadata.labels"
            loaded.refused.add(key)
            loaded.find(Severity.ERROR, "invalid-value", message, key, path, "quote their values")


def _take_settings(value: dict[str, Any], origin: Origin, loaded: Loaded) -> None:
    if not _is_first(SETTINGS_KEY, origin, loaded):
        return
    findings = _unknown_above_spec(value, SETTINGS_KEY, origin)
    spec = value.get("spec")
    settings, wrong = load_settings({} if spec is None else spec, origin)
    loaded.findings += [*findings, *wrong]
    if settings is not None and not findings:
        loaded.settings = settings
    else:
        loaded.refused.add(SETTINGS_KEY)


def load_settings(spec: Any, origin: Origin | None = None) -> tuple[GatewaySettings | None, list[Finding]]:
    """Settings out of the `spec` of a GatewaySettings document."""
    return validated(GatewaySettings, spec, SETTINGS_KEY, origin or Origin(), below="spec")


def _take_resource(model: ResourceClass, value: dict[str, Any], origin: Origin, loaded: Loaded) -> None:
    metadata = value.get("metadata")
    if isinstance(metadata, dict) and "namespace" not in metadata:
        value = {**value, "metadata": {**metadata, "namespace": loaded.namespace}}
    key = _key_of(model.__name__, value)
    if not key.name:
        _doubt(origin, loaded)
    elif not _is_first(key, origin, loaded):
        return
    findings = _unknown_above_spec(value, key, origin)
    # what a controller wrote never decides whether a resource is taken
    written = {name: value[name] for name in ("apiVersion", "kind", "metadata", "spec") if name in value}
    resource, wrong = validated(model, written, key, origin)
    findings += wrong
    if resource is not None:
        findings += block_findings(resource.spec, "spec", key, origin)
    loaded.findings += findings
    if findings or resource is None:
        loaded.refused.add(key)
        loaded.refused_specs[key] = value.get("spec")
    else:
        loaded.resources[key] = resource


def _is_first(key: ResourceKey, origin: Origin, loaded: Loaded) -> bool:
    first = loaded.origins.setdefault(key, origin)
    if first is origin:
        return True
    place = f", in {first.at()}," if first.file else ""
    fix = "rename or remove one"
    loaded.findings.append(
        Finding(
            Severity.ERROR,
            "duplicate",
            f"stands twice; the first{place} counts",
            key,
            "metadata.name",
            fix,
            origin.at(),
        )
    )
    return False


def _unknown_above_spec(value: dict[str, Any], key: ResourceKey, origin: Origin) -> list[Finding]:
    metadata = value.get("metadata")
    places: list[tuple[str, ...]] = [(name,) for name in value if name not in _TOP_FIELDS]
    if isinstance(metadata, dict):
        places += [("metadata", name) for name in metadata if name not in _METADATA_FIELDS]
    return [
        unknown_field(
            place[-1], field_path(place), _METADATA_FIELDS if place[1:] else _TOP_FIELDS, key, origin
        )
        for place in places[:20]
    ]


def _key_of(kind: str, value: dict[str, Any]) -> ResourceKey:
    """The identity a document claims; an empty name where it claims none."""
    metadata = value.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    name, namespace = metadata.get("name"), metadata.get("namespace")
    return ResourceKey(
        kind,
        _plain(namespace) if isinstance(namespace, str) and namespace else DEFAULT_NAMESPACE,
        _plain(name) if isinstance(name, str) else "",
    )


def _plain(name: str) -> str:
    return name if len(name) <= 253 and name.isprintable() else shown(name)
