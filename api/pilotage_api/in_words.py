"""What a value should have been, in words of the field instead of those of the library that found out."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from pilotage_api.decimal_texts import IN_WORDS
from pilotage_api.resource import DNS_LABEL, NAME, NO_CONTROLS

_PATTERNS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        **IN_WORDS,
        DNS_LABEL: (
            "lower-case letters, digits and -, with a letter or digit at both ends",
            'write it like "my-name"',
        ),
        NAME: (
            "lower-case letters, digits, - and ., with a letter or digit at both ends",
            'write it like "my-name"',
        ),
        NO_CONTROLS: ("text without control characters, blank at neither end", "take them out"),
        r"\S": ("text that is not blank", "write something, or remove it"),
        r"^\S+$": ("text without blanks", "take them out"),
    }
)
_TYPES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        **dict.fromkeys(
            ("model_type", "model_attributes_type", "dict_type", "mapping_type"),
            ("an object", "write its fields below it"),
        ),
        **dict.fromkeys(
            ("list_type", "tuple_type", "set_type"), ("a list", "write its items with - or in []")
        ),
        "string_type": ("text", "write it in quotes"),
        **dict.fromkeys(("bool_type", "bool_parsing"), ("true or false", "correct the value")),
        **dict.fromkeys(
            ("int_type", "int_parsing", "int_from_float"), ("a whole number", "correct the value")
        ),
        **dict.fromkeys(("float_type", "float_parsing"), ("a number", "correct the value")),
    }
)
_SAYS: Final = "Input should be "
_UNITS: Final = {"List": "item", "Tuple": "item", "Dictionary": "entry", "Set": "item", "Frozenset": "item"}


def expected(detail: Any) -> tuple[str, str]:
    """What must be, and the fix, of an error as pydantic has it."""
    context = detail.get("ctx", {})
    kind = detail["type"]
    if kind == "string_pattern_mismatch":
        pattern = context.get("pattern")
        what, fix = _PATTERNS.get(pattern, (f"text that matches {pattern}", "correct the value"))
        return f"must be {what}", fix
    if kind in ("too_short", "too_long"):
        unit = _UNITS.get(context.get("field_type"), "item")
        count = context.get("min_length" if kind == "too_short" else "max_length")
        bound = "at least" if kind == "too_short" else "at most"
        fix = "add one" if kind == "too_short" else "remove some"
        return f"must have {bound} {_counted(count, unit)}", fix
    if kind == "string_too_short":
        return "must not be empty", "write something, or remove it"
    if kind == "string_too_long":
        return f"must have at most {_counted(context.get('max_length'), 'character')}", "shorten it"
    if kind in _TYPES:
        what, fix = _TYPES[kind]
        return f"must be {what}", fix
    message = str(detail["msg"]).removeprefix("Value error, ")
    if message.startswith(_SAYS):
        message = f"must be {message.removeprefix(_SAYS)}"
    return message, "correct the value"


def _counted(count: Any, unit: str) -> str:
    plural = "entries" if unit == "entry" else f"{unit}s"
    return f"{count} {unit if count == 1 else plural}"
