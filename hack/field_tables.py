"""Renew the tables of fields in docs/, out of the types themselves: hack/field_tables.py [--check].

A table stands between `<!-- fields: KIND -->` and `<!-- end -->`; the fields that this version refuses
between `<!-- reserved: KIND -->` and `<!-- end -->`; what conditions of rules read between
`<!-- conditions: variables -->` or `<!-- conditions: pools -->` and `<!-- end -->`; what becomes of fields
in translation between `<!-- translation: CALL_to_CALL -->` and `<!-- end -->`; what works under which
gateway between `<!-- gateways: features -->` and `<!-- end -->`.
"""

import enum
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

sys.path.insert(0, str(Path(__file__).resolve().parent))

from chart_values import ChartValues

from pilotage_api.conditions.variables import POOL_FUNCTIONS, VARIABLES, Needs, Variable
from pilotage_api.gateways import FEATURES, Gateway
from pilotage_api.modelpool import ModelPoolSpec
from pilotage_api.resource import RESERVED, marks
from pilotage_api.routepolicy import RoutePolicySpec
from pilotage_api.settings import GatewaySettings
from pilotage_api.tenant import TenantSpec
from pilotage_api.validation import first_model
from pilotage_extproc.dialects.translation.fields import FIELDS as TRANSLATED
from pilotage_extproc.domain.head import CallKind

DOCUMENTS: Final = Path(__file__).parents[1] / "docs"
KINDS: Final[dict[str, type[BaseModel]]] = {
    "ModelPool": ModelPoolSpec,
    "RoutePolicy": RoutePolicySpec,
    "Tenant": TenantSpec,
    "GatewaySettings": GatewaySettings,
    "ChartValues": ChartValues,
}
_MARKED: Final = re.compile(
    r"(<!-- (fields|reserved|conditions|translation|gateways): (\w+) -->\n).*?(<!-- end -->)", re.DOTALL
)
_PLAIN: Final[dict[Any, str]] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    Any: "any",
}
_TUPLES: Final = (list, tuple)


def with_tables(text: str) -> str:
    """A Markdown text with all its tables renewed."""
    return _MARKED.sub(lambda mark: mark[1] + _content(mark[2], mark[3]) + mark[4], text)


def _content(what: str, kind: str) -> str:
    if what == "conditions":
        return _readings(POOL_FUNCTIONS if kind == "pools" else VARIABLES)
    if what == "gateways":
        return _features()
    if what == "translation":
        return _translation(kind)
    model = KINDS[kind]
    if what == "reserved":
        return ", ".join(f"`{path}`" for path in reserved(model)) + "\n"
    rows = ["| field | value | default | meaning |", "|---|---|---|---|"]
    rows += [f"| {' | '.join(_cell(one) for one in row)} |" for row in _rows(model, "")]
    return "\n".join(rows) + "\n"


def _readings(found: Mapping[str, Variable]) -> str:
    rows = ["| name | type | from | meaning |", "|---|---|---|---|"]
    for one in found.values():
        name = f"{one.name}('pool')" if one.needs is Needs.POOLS else one.name
        rows.append(f"| `{name}` | {one.type.value} | {one.needs.value} | {one.meaning} |")
    return "\n".join(rows) + "\n"


def _features() -> str:
    rows = [
        "| feature | fields | `bundled` | `other` | `inferencePool` |",
        "|---|---|---|---|---|",
    ]
    for one in FEATURES:
        held = [one.under(gateway) for gateway in (Gateway.BUNDLED, Gateway.OTHER, Gateway.INFERENCE_POOL)]
        told = [f"{each.support}: {each.remark}" if each.remark else each.support.value for each in held]
        fields = ", ".join(f"`{field}`" for field in one.fields)
        rows.append(f"| {one.name} | {fields} | {' | '.join(told)} |")
    return "\n".join(rows) + "\n"


def _translation(way: str) -> str:
    kind, _, target = way.partition("_to_")
    rows = ["| place | field | what becomes of it | remarks |", "|---|---|---|---|"]
    apart = TRANSLATED[CallKind(kind), CallKind.CHAT] if way == "responses_to_messages" else {}
    for place, members in TRANSLATED[CallKind(kind), CallKind(target)].items():
        for name, field in members.items():
            if apart and apart[place][name] == field:
                continue
            plain = ", ".join(f"`{json.dumps(value)}`" for value in field.plain if value is not ...)
            remarks = [field.remark] if field.remark else []
            remarks += [f"nothing to tell of {plain}"] if plain else []
            rows.append(
                f"| {f'`{place}`' if place else 'body'} | `{name}` | {field.fate} | {'; '.join(remarks)} |"
            )
    return "\n".join(rows) + "\n"


def reserved(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Paths below `spec` of all fields that this version refuses."""
    for name, field, path in _fields(model, prefix):
        if RESERVED in marks(model, name):
            yield path
        inner = first_model(field.annotation)
        if inner is not None:
            yield from reserved(inner, path + _brackets(field) + ".")


def _rows(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str, str]]:
    for name, field, path in _fields(model, prefix):
        if RESERVED in marks(model, name):
            continue
        inner = first_model(field.annotation)
        shown = path + _brackets(field)
        if inner is None or field.description:
            yield f"`{shown}`", _values(field.annotation, field.metadata), _default(field), _told(field)
        if inner is not None:
            yield from _rows(inner, shown + ".")


def _fields(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo, str]]:
    for name, field in model.model_fields.items():
        yield name, field, f"{prefix}{field.alias or name}"


def _told(field: FieldInfo) -> str:
    return field.description or ""


def _brackets(field: FieldInfo) -> str:
    return "[]" if get_origin(field.annotation) in _TUPLES else ""


def _values(annotation: Any, metadata: list[Any]) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    choices = [one for one in arguments if one not in (type(None), Ellipsis)]
    if hasattr(annotation, "__metadata__"):
        shown = _values(arguments[0], metadata)
    elif origin is Literal:
        shown = ", ".join(f"`{one}`" for one in arguments)
    elif origin in _TUPLES:
        shown = "list"
    elif origin is dict:
        shown = "map of strings" if arguments[1] is str else "object"
    elif choices:
        shown = " or ".join(_values(one, metadata) for one in choices)
    elif isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        shown = ", ".join(f"`{one.value}`" for one in annotation)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        shown = "object"
    else:
        shown = _PLAIN.get(annotation, "string") + _range(metadata)
    return shown


def _range(metadata: list[Any]) -> str:
    low = next((one.ge for one in metadata if hasattr(one, "ge")), None)
    above = next((one.gt for one in metadata if hasattr(one, "gt")), None)
    high = next((one.le for one in metadata if hasattr(one, "le")), None)
    if high is not None:
        return f", {low} to {high}" if low is not None else f" up to {high}"
    if above is not None:
        return f" above {above}"
    return f" from {low}" if low is not None else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value in (None, [], (), "") or isinstance(value, BaseModel):
        return ""
    if isinstance(value, tuple):
        return ", ".join(f"`{one}`" for one in value)
    return f"`{json.dumps(value.value if isinstance(value, enum.Enum) else value)}`".replace(
        '`"', "`"
    ).replace('"`', "`")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main(check: bool) -> int:
    """Write the tables, or print which documents have old ones."""
    old = [
        path for path in sorted(DOCUMENTS.glob("*.md")) if with_tables(path.read_text()) != path.read_text()
    ]
    for path in old:
        print(f"{path}: {'has old tables: run make tables' if check else 'renewed'}")
        if not check:
            path.write_text(with_tables(path.read_text()))
    return 1 if check and old else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv))
