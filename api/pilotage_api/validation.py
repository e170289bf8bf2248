"""Typed errors out of pydantic's: the field's path, what is wrong, the nearest known field."""

import difflib
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pilotage_api.findings import Finding, ResourceKey, Severity
from pilotage_api.resource import reserved_fields

Model = TypeVar("Model", bound=BaseModel)
_MAX_SHOWN = 80


def validated(
    model: type[Model], raw: Any, resource: ResourceKey | None, source: str
) -> tuple[Model | None, list[Finding]]:
    """Parse raw data; None and findings where it is wrong."""
    try:
        return model.model_validate(raw), []
    except ValidationError as error:
        return None, [_finding(model, detail, resource, source) for detail in error.errors()]


def _finding(model: type[BaseModel], detail: Any, resource: ResourceKey | None, source: str) -> Finding:
    location: tuple[int | str, ...] = detail["loc"]
    path = field_path(location)
    kind = detail["type"]
    if kind == "extra_forbidden":
        known = known_fields(model, location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        fix = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(sorted(known))}"
        message = f"unknown field {str(location[-1])[:_MAX_SHOWN]!r}"
        return Finding(Severity.ERROR, "unknown-field", message, resource, path, fix, source)
    if kind == "missing":
        message = "required field is missing"
        return Finding(Severity.ERROR, "missing-field", message, resource, path, f"add {path}", source)
    given = repr(detail.get("input"))
    shown = given if len(given) <= _MAX_SHOWN else given[:_MAX_SHOWN] + "…"
    message = f"{detail['msg']}, not {shown}"
    return Finding(Severity.ERROR, "invalid-value", message, resource, path, "correct the value", source)


def field_path(location: tuple[int | str, ...]) -> str:
    """`('spec', 'models', 0, 'name')` as `spec.models[0].name`."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def known_fields(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Names, as in files, of the fields at a place inside a model."""
    current: type[BaseModel] | None = model
    for part in location:
        if isinstance(part, int) or current is None:
            continue
        current = _block_of(current, str(part))
    if current is None:
        return []
    return [field.alias or name for name, field in current.model_fields.items()]


def _block_of(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    for attribute, field in model.model_fields.items():
        if name in (attribute, field.alias):
            return _first_model(field.annotation)
    return None


def _first_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _first_model(argument)
        if found is not None:
            return found
    return None


def reserved_findings(block: BaseModel, path: str, resource: ResourceKey, source: str) -> list[Finding]:
    """An error for every reserved field that is set, anywhere below a block."""
    findings = []
    reserved = reserved_fields(type(block))
    for attribute, field in type(block).model_fields.items():
        value = getattr(block, attribute)
        name = field.alias or attribute
        below = f"{path}.{name}"
        if attribute in reserved:
            if value is not None:
                findings.append(
                    Finding(
                        Severity.ERROR,
                        "not-supported",
                        f"{name} is not supported in this version",
                        resource,
                        below,
                        f"remove {below}",
                        source,
                    )
                )
        elif isinstance(value, BaseModel):
            findings += reserved_findings(value, below, resource, source)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, BaseModel):
                    findings += reserved_findings(item, f"{below}[{index}]", resource, source)
    return findings
