"""Calls that do more than answer: sent twice, they would do it twice."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from pilotage_extproc.domain.head import CallKind

_TELLING: Final = frozenset({"background", "store", "tools", "web_search_options", "mcp_servers"})
"""Members without any of which a call has no side effects."""
_RUN_BY_CLIENTS: Final = frozenset({"function", "custom", "local_shell", "shell", "apply_patch"})
"""Types of OpenAI's tools that the client runs itself."""
_ANTHROPIC_RUN_BY_CLIENTS: Final = ("custom", "bash_", "text_editor_", "computer_", "memory_")
"""Beginnings of the types of Anthropic's tools that the client runs itself; one without a type is its own."""


def has_side_effects(kind: CallKind, members: Mapping[str, Any]) -> bool:
    """Whether the server may keep something or act for the client: what is stored, runs in the background, or
    calls tools that the server runs."""
    if _TELLING.isdisjoint(members):
        return False
    hosted = _HOSTED.get(kind)
    return hosted is not None and (
        members.get("background") is True or members.get("store") is True or hosted(members)
    )


def _openai_hosted(members: Mapping[str, Any]) -> bool:
    if members.get("web_search_options") is not None:
        return True
    return any(_type_of(tool) not in _RUN_BY_CLIENTS for tool in _tools(members))


def _anthropic_hosted(members: Mapping[str, Any]) -> bool:
    if members.get("mcp_servers"):
        return True
    types = [_type_of(tool) for tool in _tools(members)]
    return any(one is not None and not one.startswith(_ANTHROPIC_RUN_BY_CLIENTS) for one in types)


def _tools(members: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    tools = members.get("tools")
    return [tool for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else ()


def _type_of(tool: Mapping[str, Any]) -> str | None:
    kind = tool.get("type")
    return kind if isinstance(kind, str) else None


_HOSTED: Final[Mapping[CallKind, Callable[[Mapping[str, Any]], bool]]] = MappingProxyType(
    {
        CallKind.CHAT: _openai_hosted,
        CallKind.RESPONSES: _openai_hosted,
        CallKind.MESSAGES: _anthropic_hosted,
    }
)
