"""Pydantic's JSON schema to the structural OpenAPI schema a CustomResourceDefinition needs."""

from typing import Any

from pydantic import BaseModel

from pilotage_api.resource import LEFT_OUT, LIST_KEYS, LIST_TYPE, RESERVED, VALIDATIONS

PRESERVE = "x-kubernetes-preserve-unknown-fields"
NOT_SUPPORTED = "not supported in this version"

_ANY_OBJECT = {"type": "object", PRESERVE: True}
# the type a reserved field will have: refused by a rule of its own, with the same words everywhere
_RESERVED_FORMS: dict[str, dict[str, Any]] = {
    "object": _ANY_OBJECT,
}
_TAKEN_OVER = (
    "enum",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "pattern",
    "required",
    LIST_TYPE,
    LIST_KEYS,
    VALIDATIONS,
)


def structural_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a block: without references, every value typed, unknown fields left to pruning."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _structural(schema, schema.get("$defs", {}))


def _structural(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    schema = _flat(schema, definitions)
    reserved = schema.get(RESERVED)
    if reserved is not None:
        return {
            "description": f"Reserved: {schema['description']}",
            **_RESERVED_FORMS[reserved],
            VALIDATIONS: [{"rule": "false", "message": NOT_SUPPORTED}],
        }
    made: dict[str, Any] = {}
    if "description" in schema:
        made["description"] = " ".join(schema["description"].split())
    made["type"] = schema["type"]
    default = _without_empty(schema.get("default"))
    if default is not None and not schema.get(LEFT_OUT):
        made["default"] = default
    made |= {name: schema[name] for name in _TAKEN_OVER if name in schema}
    if schema["type"] == "integer":
        made["format"] = "int32" if schema.get("maximum", 1 << 31) < 1 << 31 else "int64"
    elif schema.get("format") == "date-time":
        made["format"] = "date-time"
    if "items" in schema:
        made["items"] = _structural(schema["items"], definitions)
    if "properties" in schema:
        made["properties"] = {
            name: _structural(below, definitions) for name, below in schema["properties"].items()
        }
    if isinstance(schema.get("additionalProperties"), dict):
        made["additionalProperties"] = _structural(schema["additionalProperties"], definitions)
    return made


def _flat(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """A schema with its reference followed; "or null" is what an optional field is anyway."""
    flat = dict(schema)
    choices = [one for one in flat.pop("anyOf", ()) if one != {"type": "null"}]
    if len(choices) > 1:
        raise TypeError(f"a structural schema has no alternatives: {schema}")
    for part in choices:
        flat = {**_flat(part, definitions), **flat}
    reference = flat.pop("$ref", None)
    if reference is not None:
        flat = {**_flat(definitions[reference.rpartition("/")[2]], definitions), **flat}
    if "const" in flat:
        flat["enum"] = [flat.pop("const")]
    return flat


def _without_empty(value: Any) -> Any:
    """A default as the API server should fill it in; None where there is nothing to fill in."""
    if isinstance(value, dict):
        kept = {name: _without_empty(one) for name, one in value.items()}
        value = {name: one for name, one in kept.items() if one is not None}
    return None if value in ({}, []) else value
