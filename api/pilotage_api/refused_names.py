"""Names that pools would serve if they were not refused: a policy that names one is not what is wrong."""

from collections.abc import Iterator, Mapping
from typing import Any

from pilotage_api.findings import ResourceKey
from pilotage_api.load import Loaded, Resource


def refused_names(
    loaded: Loaded, in_force: Mapping[ResourceKey, Resource]
) -> Mapping[str, tuple[ResourceKey, ...]]:
    """The refused pools by each name of theirs, as far as it can be read.

    A pool of which an older revision is in force is none of them.
    """
    found: dict[str, list[ResourceKey]] = {}
    for key in sorted(loaded.refused, key=str):
        if key.kind == "ModelPool" and key not in in_force:
            for name in dict.fromkeys(_names_in(loaded.refused_specs.get(key))):
                found.setdefault(name, []).append(key)
    return {name: tuple(keys) for name, keys in found.items()}


def _names_in(spec: Any) -> Iterator[str]:
    """Names, aliases and adapters of a spec that may hold anything."""
    for model in _items(spec, "models"):
        yield from _text(model, "name")
        yield from (alias for alias in _items(model, "aliases") if isinstance(alias, str))
        for adapter in _items(model, "adapters"):
            yield from _text(adapter, "name")


def _items(value: Any, name: str) -> list[Any]:
    items = value.get(name) if isinstance(value, dict) else None
    return items if isinstance(items, list) else []


def _text(value: Any, name: str) -> Iterator[str]:
    text = value.get(name) if isinstance(value, dict) else None
    if isinstance(text, str):
        yield text
