"""The tools that requests offer, in the terms of three APIs: by name those of the client, by type the others.

Chat completions, Anthropic messages and Responses. What the provider runs (web search, code, MCP servers) is
told by its type: whatever has a type that is not known to be the client's.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from pilotage_extproc.dialects.call import Members
from pilotage_extproc.domain.head import CallKind

KINDS: Final = frozenset((CallKind.CHAT, CallKind.MESSAGES, CallKind.COUNT_TOKENS, CallKind.RESPONSES))
"""Calls that offer tools in a form that is known here."""
_BY_NAME: Final = ("function", "custom")
_NO_TYPES: Final = ("auto", "any", "none", "tool", "allowed_tools", *_BY_NAME)
"""Types of `tool_choice` that are no tool's."""
_CLIENT_RUN: Final = ("bash_", "text_editor_", "computer_", "memory_")
"""Types of Anthropic's that the client runs, and that have a name."""
SERVER_LISTS: Final = ("mcp_servers",)
LISTS: Final = ("tools", "functions", *SERVER_LISTS)
WEB_SEARCH_OPTIONS: Final = "web_search_options"


class Offered(NamedTuple):
    """One item of a list of tools."""

    member: str
    position: int
    name: str
    """Of a tool of the client; of the provider's its type, of an MCP server `mcp/` and its name."""
    provider_run: bool
    words: str = ""
    """Its name and description."""


def offered(members: Members) -> Iterator[Offered]:
    """All of them; what is no object is called ``."""
    for member in LISTS:
        items = members.get(member)
        for index, item in enumerate(items if isinstance(items, list) else ()):
            yield _of(member, index, item if isinstance(item, dict) else {})


def _of(member: str, index: int, item: dict[str, Any]) -> Offered:
    if member in SERVER_LISTS:
        return Offered(member, index, f"mcp/{_text(item.get('name'))}", True)
    kind = item.get("type")
    if member == "functions" or kind is None or kind in _BY_NAME or _is_client_run(kind):
        own = item.get(kind) if isinstance(kind, str) else None
        inner = own if isinstance(own, dict) else item
        name, about = _text(inner.get("name")), _text(inner.get("description"))
        return Offered(member, index, name, False, f"{name} {about}")
    label = item.get("server_label", item.get("mcp_server_name"))
    if kind in ("mcp", "mcp_toolset"):
        return Offered(member, index, f"mcp/{_text(label)}", True)
    return Offered(member, index, _text(kind), True)


def _is_client_run(kind: Any) -> bool:
    return isinstance(kind, str) and kind.startswith(_CLIENT_RUN)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def forced(members: Members) -> tuple[str, ...]:
    """Names, or types, of the tools that the model is told to choose from."""
    choice = members.get("tool_choice", members.get("function_call"))
    if not isinstance(choice, dict):
        return ()
    listed = choice.get("allowed_tools", choice)
    tools = listed.get("tools") if isinstance(listed, dict) else None
    chosen = tools if isinstance(tools, list) else [choice]
    return tuple(name for one in chosen if isinstance(one, dict) and (name := _chosen(one)))


def _chosen(choice: dict[str, Any]) -> str:
    kind = choice.get("type")
    if kind in ("mcp", "mcp_toolset"):
        return f"mcp/{_text(choice.get('server_label'))}"
    inner = choice.get(kind) if isinstance(kind, str) else None
    name = _text((inner if isinstance(inner, dict) else choice).get("name"))
    return name or ("" if kind in _NO_TYPES else _text(kind))


def must_call(members: Members) -> bool:
    """Whether the model has to call some tool."""
    choice = members.get("tool_choice")
    kind = choice.get("type") if isinstance(choice, dict) else choice
    return kind in ("required", "any")
