"""Members of a request that cost more than its tokens at their stated price.

What a provider runs by itself is billed by the call and reads what nobody can foresee; tiers and modes have
prices of their own. A hard budget refuses them: it knows the prices of tokens alone.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from pilotage_extproc.dialects.call import Members
from pilotage_extproc.dialects.carried_tools import all_tools
from pilotage_extproc.dialects.looking import MOST_LOOKED_AT
from pilotage_extproc.dialects.tool_lists import LISTS, SWITCHES, as_offered
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.request.other_models import OTHER_MODEL_MEMBERS

_OWN_TOOLS: Final = frozenset({"function", "custom", None})
"""Kinds of tools that only the client runs; others run at the provider, and cost what nobody can say."""
_CLEARS: Final = "clear_"
"""Edits of a context that only leave something out."""
_USUAL_TIERS: Final = frozenset({None, "auto", "default", "standard", "standard_only", "flex"})
_RUN: Final = "what the provider runs or looks up has no bound"
_TOOLS_RUN: Final = "tools that the provider runs have no bound"
_TOO_MANY: Final = f"it has more than {MOST_LOOKED_AT} tools, messages and parts to look for tools in"
_OTHER_PRICE: Final = "it has a price of its own"
_OTHER_MODEL: Final = "it may have another model answer, whose price is not known"
_SUMMARY: Final = "a summary of the conversation is billed as a request of its own"


def _is_nothing(value: Any) -> bool:
    return value is None or value is False or value in ([], "")


def _only(*usual: str | None) -> Callable[[Any], bool]:
    return lambda value: value is None or (isinstance(value, str) and value in usual)


def _clears_alone(value: Any) -> bool:
    """Whether a context is at most made shorter by leaving something out, and not by a summary."""
    edits = value.get("edits") if isinstance(value, dict) else value
    if not isinstance(edits, list):
        return edits is None
    kinds = [edit.get("type") if isinstance(edit, dict) else None for edit in edits]
    return all(isinstance(kind, str) and kind.startswith(_CLEARS) for kind in kinds)


_USUAL: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = MappingProxyType(
    {
        **dict.fromkeys(SWITCHES, (_is_nothing, _RUN)),
        **dict.fromkeys(OTHER_MODEL_MEMBERS, (_is_nothing, _OTHER_MODEL)),
        "data_sources": (_is_nothing, _RUN),
        "mcp_servers": (_is_nothing, _RUN),
        "container": (_is_nothing, _RUN),
        "compaction": (_is_nothing, _SUMMARY),
        "context_management": (_clears_alone, _SUMMARY),
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

DEAR_MEMBERS: Final = frozenset(_USUAL) | frozenset(LISTS)


def dear_member(kind: CallKind, members: Members) -> tuple[str, str] | None:
    """The first member that costs more than tokens, and why; None where there is none."""
    for name in _USUAL.keys() & members.keys():
        is_usual, why = _USUAL[name]
        if not is_usual(members[name]):
            return name, why
    for count, (name, tool) in enumerate(all_tools(kind, members)):
        if count == MOST_LOOKED_AT:
            return name, _TOO_MANY
        if tool is not None and not _is_own(kind, members, name, tool):
            return name, _TOOLS_RUN
    return None


def _is_own(kind: CallKind, members: Members, member: str, tool: Any) -> bool:
    """Whether only the client runs it: it says no other type, and has a name by which it would be called."""
    type_ = tool.get("type") if isinstance(tool, dict) else None
    known = type_ is None or (isinstance(type_, str) and type_ in _OWN_TOOLS)
    return known and not as_offered(kind, members, member, 0, tool).provider_run
