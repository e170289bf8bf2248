"""`GET /v1/models` and `/v1/models/{id}`: names a client may ask for, over all pools, in two APIs' shapes."""

from collections.abc import Mapping
from typing import Any

import orjson

from pilotage_extproc.dialects.anthropic import VERSION_HEADER
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.rules.routing_index import RoutingIndex
from pilotage_extproc.rules.tenant import TenantRules

_CREATED = 0
"""OpenAI's `created` has no meaning for a name that several pools serve: constant, so pages compare equal."""
_CREATED_AT = "1970-01-01T00:00:00Z"


class ModelPages:
    """What the two calls answer, for one index."""

    def __init__(self, index: RoutingIndex, *, unmatched: bool = True) -> None:
        """Without `unmatched` names that no policy matches are not served."""
        self.index = index
        self._names = frozenset(index.model_names(unmatched=unmatched))
        self._made: dict[tuple[str, bool], bytes] = {}
        """By tenant, for all whom nothing is known of alike, and by whether Anthropic's API asks."""

    def listed(self, headers: Mapping[str, str], tenant: TenantRules | None = None) -> bytes:
        """All that a tenant may use, as the client's API lists them; made once."""
        anthropic = VERSION_HEADER in headers
        key = ("" if tenant is None else tenant.name, anthropic)
        page = self._made.get(key)
        if page is None:
            names = sorted(name for name in self._names if tenant is None or tenant.allows_model(name))
            page = self._made[key] = self._anthropic_page(names) if anthropic else self._openai_page(names)
        return page

    def one(self, name: str, headers: Mapping[str, str], tenant: TenantRules | None = None) -> bytes:
        """One of them. Raises RequestRefused (404)."""
        if name not in self._names or not (tenant is None or tenant.allows_model(name)):
            message = f"The model `{name[:256]}` does not exist."
            raise RequestRefused(Refusal.MODEL_NOT_FOUND, message, param="model")
        if VERSION_HEADER in headers:
            return orjson.dumps(_anthropic_entry(name))
        return orjson.dumps(_openai_entry(self.index, name))

    def _openai_page(self, names: list[str]) -> bytes:
        return orjson.dumps({"object": "list", "data": [_openai_entry(self.index, name) for name in names]})

    def _anthropic_page(self, names: list[str]) -> bytes:
        """One page with everything: `limit` and the ids to begin or end at have nothing to leave out."""
        page = {
            "data": [_anthropic_entry(name) for name in names],
            "has_more": False,
            "first_id": names[0] if names else None,
            "last_id": names[-1] if names else None,
        }
        return orjson.dumps(page)


def _openai_entry(index: RoutingIndex, name: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": name, "object": "model", "created": _CREATED, "owned_by": "pilotage"}
    bindings = index.snapshot.names.get(name, ())
    if bindings:
        entry["root"] = bindings[0].upstream_model
    return entry


def _anthropic_entry(name: str) -> dict[str, Any]:
    return {"type": "model", "id": name, "display_name": name, "created_at": _CREATED_AT}
