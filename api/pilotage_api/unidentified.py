"""Documents that name no resource of ours: whether one was meant, and which."""

import difflib
from pathlib import PurePath
from typing import Any, Final, NamedTuple

from pydantic import BaseModel

from pilotage_api.findings import shown
from pilotage_api.modelpool import ModelPoolSpec
from pilotage_api.resource import API_VERSION, GROUP
from pilotage_api.routepolicy import RoutePolicySpec
from pilotage_api.settings import GatewaySettings
from pilotage_api.tenant import TenantSpec
from pilotage_api.validation import known_fields

SETTINGS_KIND: Final = "GatewaySettings"
SETTINGS_FILE: Final = "pilotage"
"""Stem of the file that is taken to hold the settings, whatever stands in it."""
_SPECS: Final[dict[str, type[BaseModel]]] = {
    "ModelPool": ModelPoolSpec,
    "RoutePolicy": RoutePolicySpec,
    "Tenant": TenantSpec,
    SETTINGS_KIND: GatewaySettings,
}
_HEAD: Final = ("apiVersion", "kind", "metadata", "status")
_NEAR_KIND: Final = 0.8
_NEAR_GROUP: Final = 0.7
_SAME_GROUP: Final = 0.85
"""A group this near is a slip of ours, whatever the kind."""
_MAX_FIELDS: Final = 100


class Meant(NamedTuple):
    """A document that was meant for us."""

    kind: str | None
    """Ours that is nearest, if one is."""
    code: str
    message: str
    path: str
    fix: str


def nearest_kind(kind: object) -> str | None:
    """Our kind that is spelled like this one, or None."""
    if not isinstance(kind, str):
        return None
    lower = {known.lower(): known for known in _SPECS}
    near = difflib.get_close_matches(kind[:64].lower(), lower, n=1, cutoff=_NEAR_KIND)
    return lower[near[0]] if near else None


def meant_kind(value: dict[str, Any]) -> Meant:
    """Of a document with our apiVersion and a kind that is not ours."""
    kind = value.get("kind")
    near = nearest_kind(kind) or (_kind_by_fields(value) if kind is None else None)
    message = "kind is missing" if kind is None else f"kind {shown(kind)} is not known"
    if near is None:
        fix = f"write one of {', '.join(_SPECS)}"
    else:
        fix = f"write kind: {near}" if kind is None else f"did you mean {near!r}?"
    return Meant(near, "unknown-kind", message, "" if kind is None else "kind", fix)


def other_version(value: dict[str, Any]) -> Meant:
    """Of a document with our group and a version that is not ours."""
    kind = value.get("kind")
    return _wrong_version(kind, value.get("apiVersion"), nearest_kind(kind))


def meant_for_us(value: dict[str, Any], file: str) -> Meant | None:
    """What a document without our group was meant to be; None where it is none of ours."""
    kind, version = value.get("kind"), value.get("apiVersion")
    if kind is None and version is None:
        return _nameless(value, file)
    near = nearest_kind(kind)
    group = version.rpartition("/")[0][:64] if isinstance(version, str) else ""
    if group:
        likeness = difflib.SequenceMatcher(None, group.lower(), GROUP).ratio()
        ours = likeness >= (_SAME_GROUP if near is None else _NEAR_GROUP)
    else:
        near = near or (_kind_by_fields(value) if not isinstance(version, str) else None)
        ours = near is not None
    if not ours:
        return None
    return _wrong_version(kind, version, near)


def _wrong_version(kind: object, version: object, near: str | None) -> Meant:
    message = "apiVersion is missing" if version is None else f"apiVersion {shown(version)} is not known"
    fix = f"write {API_VERSION}"
    if near is not None and kind != near:
        fix += f" and kind: {near}"
    return Meant(near, "unknown-version", message, "" if version is None else "apiVersion", fix)


def _nameless(value: dict[str, Any], file: str) -> Meant | None:
    """By the fields, else by the file's name."""
    near = _kind_by_fields(value)
    if near is None and is_settings_file(file):
        near = SETTINGS_KIND
    if near is None:
        return None
    below = "" if isinstance(value.get("spec"), dict) else ", and put the fields below spec"
    fix = f"write apiVersion: {API_VERSION} and kind: {near}{below}"
    return Meant(near, "not-a-resource", "apiVersion and kind are missing", "", fix)


def is_key_file(value: dict[str, Any]) -> bool:
    """Whether a document is a list of keys that settings name: API keys, or the keys of JSON web tokens."""
    return set(value) == {"keys"} and isinstance(value["keys"], list)


def is_settings_file(file: str) -> bool:
    """Whether a file's name says that it holds the settings."""
    return PurePath(file).stem.lower() == SETTINGS_FILE


def _kind_by_fields(value: dict[str, Any]) -> str | None:
    """The kind that knows most of the document's fields; at least half of them, or None."""
    spec = value.get("spec")
    fields = list(spec if isinstance(spec, dict) else value)[:_MAX_FIELDS]
    fields = [name for name in fields if name not in _HEAD]
    known = {kind: _known(model, fields) for kind, model in _SPECS.items()}
    best = max(known, key=lambda kind: known[kind])
    return best if fields and known[best] * 2 >= len(fields) else None


def _known(model: type[BaseModel], fields: list[str]) -> int:
    return len(set(known_fields(model, ())) & set(fields))
