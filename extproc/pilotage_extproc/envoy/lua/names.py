"""Names of the contract, written at the head of a Lua script."""

import json
from collections.abc import Mapping

Value = str | int | Mapping[str, str | int] | Mapping[str, str] | Mapping[str, int] | Mapping[int, str]


def lua_names(names: Mapping[str, Value]) -> str:
    """One `local` a name: text, a number, or a table of them."""
    return "".join(f"local {name} = {_lua(value)}\n" for name, value in names.items())


def _lua(value: Value) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"[{_lua(key)}] = {_lua(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)
