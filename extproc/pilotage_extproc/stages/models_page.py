"""`GET /v1/models`: every name a client may ask for, over all pools."""

from typing import Any

import orjson

from pilotage_extproc.rules.routing_index import RoutingIndex

_CREATED = 0
"""OpenAI's `created` has no meaning for a name that several pools serve: constant, so pages compare equal."""


def models_page(index: RoutingIndex) -> bytes:
    """The list as OpenAI clients read it."""
    return orjson.dumps({"object": "list", "data": [_entry(index, name) for name in index.model_names()]})


def _entry(index: RoutingIndex, name: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": name, "object": "model", "created": _CREATED, "owned_by": "pilotage"}
    bindings = index.snapshot.names.get(name, ())
    if bindings:
        entry["root"] = bindings[0].upstream_model
    return entry
