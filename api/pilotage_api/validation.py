"""Findings out of raw data: the field's path, what is wrong, the nearest known field."""

import difflib
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.alias_generators import to_snake

from pilotage_api.document import Origin
from pilotage_api.findings import Finding, ResourceKey, Severity, shown
from pilotage_api.in_words import expected
from pilotage_api.resource import LIST_KEYS, LIST_TYPE, RESERVED, Block, Problem, marks

Model = TypeVar("Model", bound=BaseModel)
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,127}")
_MAX_FINDINGS = 50
"""Of one resource: the hundredth error of one file helps nobody."""


def validated(
    model: type[Model], raw: Any, resource: ResourceKey | None, origin: Origin, below: str = ""
) -> tuple[Model | None, list[Finding]]:
    """Parse raw data that stands at the path `below`; None and findings where it is wrong."""
    try:
        return model.model_validate(raw), []
    except ValidationError as error:
        details = error.errors(include_url=False)[:_MAX_FINDINGS]
        return None, [_finding(model, detail, resource, origin, below) for detail in details]


def _finding(
    model: type[BaseModel], detail: Any, resource: ResourceKey | None, origin: Origin, below: str
) -> Finding:
    location: tuple[int | str, ...] = detail["loc"]
    path = join_path(below, field_path(location))
    if detail["type"] == "extra_forbidden":
        return unknown_field(location[-1], path, known_fields(model, location[:-1]), resource, origin)
    if detail["type"] == "missing":
        message, fix = "required field is missing", f"add {path}"
        return Finding(Severity.ERROR, "missing-field", message, resource, path, fix, origin.at(path))
    wanted, fix = _expected(detail)
    message = f"{wanted}, not {shown(detail.get('input'))}"
    return Finding(Severity.ERROR, "invalid-value", message, resource, path, fix, origin.at(path))


def _expected(detail: Any) -> tuple[str, str]:
    """What a value should have been, and the fix."""
    what, fix = expected(detail)
    value = detail.get("input")
    if detail["type"] == "string_type" and isinstance(value, int | float) and not isinstance(value, bool):
        fix = f'write it in quotes: "{value}"'
    return what, fix


def unknown_field(
    name: object, path: str, known: Iterable[str], resource: ResourceKey | None, origin: Origin
) -> Finding:
    """The error of a field nobody reads; suggests the nearest known one."""
    known = sorted(known)
    near = difflib.get_close_matches(str(name)[:64], known, n=1, cutoff=0.5)
    fix = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
    message = f"unknown field {shown(name)}"
    return Finding(Severity.ERROR, "unknown-field", message, resource, path, fix, origin.at(path))


def join_path(above: str, below: str) -> str:
    """Two paths as one."""
    return f"{above}.{below}" if above and below and below[0] != "[" else above + below


def field_path(location: tuple[int | str, ...]) -> str:
    """`('spec', 'models', 0, 'name')` as `spec.models[0].name`; odd keys as `["odd key"]`."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif _PLAIN_KEY.fullmatch(part):
            path = join_path(path, part)
        else:
            path += f"[{shown(part)}]"
    return path


def known_fields(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Names, as in files, of the fields at a place inside a model."""
    current: type[BaseModel] | None = model
    for part in location:
        if isinstance(part, int) or current is None:
            continue
        current = _block_of(current, part)
    if current is None:
        return []
    return [
        field.alias or name
        for name, field in current.model_fields.items()
        if RESERVED not in marks(current, name)
    ]


def _block_of(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    for attribute, field in model.model_fields.items():
        if name in (attribute, field.alias):
            return first_model(field.annotation)
    return None


def first_model(annotation: Any) -> type[BaseModel] | None:
    """The model an annotation is, lists or may be."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = first_model(argument)
        if found is not None:
            return found
    return None


def block_findings(block: Block, path: str, resource: ResourceKey, origin: Origin) -> list[Finding]:
    """What is wrong with a block that has the right types: reserved fields, duplicates, its own rules."""
    return [
        Finding(
            Severity.ERROR,
            one.code,
            one.message,
            resource,
            one.path,
            one.fix,
            origin.at(one.path),
        )
        for one in islice(_problems(block, path), _MAX_FINDINGS)
    ]


def _problems(block: Block, path: str) -> Iterator[Problem]:
    for attribute, field in type(block).model_fields.items():
        value = getattr(block, attribute)
        name = field.alias or attribute
        below = f"{path}.{name}"
        if RESERVED in marks(type(block), attribute):
            if value is not None:
                message = f"{name} is not supported in this version"
                yield Problem("not-supported", below, message, f"remove {below}")
        elif isinstance(value, Block):
            yield from _problems(value, below)
        elif isinstance(value, list):
            yield from _duplicates(value, below, marks(type(block), attribute))
            for index, item in enumerate(value):
                if isinstance(item, Block):
                    yield from _problems(item, f"{below}[{index}]")
    for one in block.problems():
        yield Problem(one.code, join_path(path, one.path), one.message, one.fix)


def _duplicates(items: list[Any], path: str, marked: dict[str, Any]) -> Iterator[Problem]:
    if LIST_TYPE not in marked:
        return
    first: dict[object, int] = {}
    keys = marked.get(LIST_KEYS, ())
    for index, item in enumerate(items):
        identity = tuple(getattr(item, to_snake(key)) for key in keys) if keys else item
        if first.setdefault(identity, index) != index:
            message = f"the same {' and '.join(keys) or 'value'} as {path}[{first[identity]}]"
            yield Problem("duplicate-item", f"{path}[{index}]", message, "remove one of them")
