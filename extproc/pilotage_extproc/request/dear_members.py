"""Members of a request that cost more than its tokens at their stated price.

What a provider runs by itself is billed by the call and reads what nobody can foresee; tiers and modes have
prices of their own. A hard budget refuses them: it knows the prices of tokens alone.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from pilotage_extproc.dialects.looking import MOST_LOOKED_AT

_OWN_TOOLS: Final = frozenset({"function", "custom", None})
"""Kinds of tools that only the client runs; others run at the provider, and cost what nobody can say."""
_USUAL_TIERS: Final = frozenset({None, "auto", "default", "standard", "standard_only", "flex"})
_RUN: Final = "what the provider runs or looks up has no bound"
_OTHER_PRICE: Final = "it has a price of its own"


def _is_nothing(value: Any) -> bool:
    return value is None or value is False or value in ([], "")


def _only(*usual: str | None) -> Callable[[Any], bool]:
    return lambda value: value is None or (isinstance(value, str) and value in usual)


def _are_own(tools: Any) -> bool:
    if not isinstance(tools, list):
        return True  # no server reads that
    kinds = [tool.get("type") if isinstance(tool, dict) else None for tool in tools[:MOST_LOOKED_AT]]
    return all(kind is None or (isinstance(kind, str) and kind in _OWN_TOOLS) for kind in kinds)


_USUAL: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = MappingProxyType(
    {
        "tools": (_are_own, "tools that the provider runs have no bound"),
        "web_search_options": (lambda value: value is None, _RUN),
        "enable_search": (_is_nothing, _RUN),
        "data_sources": (_is_nothing, _RUN),
        "plugins": (_is_nothing, _RUN),
        "mcp_servers": (_is_nothing, _RUN),
        "container": (_is_nothing, _RUN),
        "service_tier": (_only(*_USUAL_TIERS), _OTHER_PRICE),
        "speed": (_only("standard"), _OTHER_PRICE),
        "inference_geo": (_only("global"), _OTHER_PRICE),
        "modalities": (lambda value: value in (None, [], ["text"]), _OTHER_PRICE),
        "audio": (lambda value: value is None, _OTHER_PRICE),
        "prediction": (lambda value: value is None, "what is not used of it is billed as output"),
        "background": (_is_nothing, "nobody waits for what it has used"),
    }
)
"""Whether a value asks for nothing beyond tokens at their price; else why it is refused."""

DEAR_MEMBERS: Final = frozenset(_USUAL)


def dear_member(members: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first member that costs more than tokens, and why; None where there is none."""
    for name in _USUAL.keys() & members.keys():
        is_usual, why = _USUAL[name]
        if not is_usual(members[name]):
            return name, why
    return None
