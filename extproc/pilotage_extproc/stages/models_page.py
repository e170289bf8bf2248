"""`GET /v1/models`: every name a client may ask for, over all pools."""

from typing import Any

import orjson

from pilotage_extproc.rules.routing_index import CurrentIndex, RoutingIndex

_CREATED = 0
"""OpenAI's `created` has no meaning for a name that several pools serve: constant, so pages compare equal."""


class ModelsPage:
    """The page of the index in force, made once for each."""

    def __init__(self, current: CurrentIndex) -> None:
        self._current = current
        self._made: tuple[RoutingIndex, bytes] | None = None

    def page(self) -> bytes:
        """The list as OpenAI clients read it."""
        index = self._current.index
        if self._made is None or self._made[0] is not index:
            self._made = (index, models_page(index))
        return self._made[1]


def models_page(index: RoutingIndex) -> bytes:
    """The list as OpenAI clients read it."""
    return orjson.dumps({"object": "list", "data": [_entry(index, name) for name in index.model_names()]})


def _entry(index: RoutingIndex, name: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": name, "object": "model", "created": _CREATED, "owned_by": "pilotage"}
    bindings = index.snapshot.names.get(name, ())
    if bindings:
        entry["root"] = bindings[0].upstream_model
    return entry
