"""Tools that stand in the conversation itself: in items of Responses, in messages and in their parts.

OpenAI's `additional_tools` and `tool_search_output`, Anthropic's `tool_addition`, vLLM's `tools` of a
message, what an MCP server has listed before; and whatever else has a list of tools, since more kinds come.
"""

from collections.abc import Iterator
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from pilotage_extproc.dialects.call import Members
from pilotage_extproc.dialects.tool_lists import LISTS, Offered, as_offered, listed_before
from pilotage_extproc.domain.head import CallKind

CONVERSATIONS: Final = MappingProxyType(
    {
        CallKind.CHAT: "messages",
        CallKind.MESSAGES: "messages",
        CallKind.COUNT_TOKENS: "messages",
        CallKind.RESPONSES: "input",
    }
)
"""The member that holds a call's conversation."""
_LISTINGS: Final = MappingProxyType({"mcp_list_tools": "server_label", "mcp_tool_listing": "mcp_server_name"})
"""Kinds of parts in which an MCP server's tools come back, and their members that name it."""
_ADDED: Final = "tool"
_REFERENCES: Final = frozenset({"tool_reference", "mcp_tool_reference", "mcp_toolset_reference"})
"""To tools that are offered elsewhere in the request."""
_NESTED: Final = ("content", "output")


class Carrier(NamedTuple):
    """A message, an item or a part that has tools."""

    member: str
    position: int
    """Of its message or item."""
    part: dict[str, Any]


def carriers(kind: CallKind, members: Members) -> Iterator[Carrier | None]:
    """All parts of the conversation that have tools; None for each that has none."""
    member = CONVERSATIONS.get(kind)
    if member is None:
        return
    given = members.get(member)
    for index, item in enumerate(given if isinstance(given, list) else ()):
        waiting = [item]
        while waiting:
            part = waiting.pop()
            if not isinstance(part, dict):
                yield None
                continue
            has_tools = isinstance(part.get(_ADDED), dict) or any(
                part.get(name) is not None for name in LISTS
            )
            yield Carrier(member, index, part) if has_tools else None
            for name in _NESTED:
                inner = part.get(name)
                if isinstance(inner, list):
                    waiting += inner
                elif isinstance(inner, dict):
                    waiting.append(inner)


def tools_of(part: dict[str, Any]) -> Iterator[Any]:
    """What a carrier offers, each as it stands there."""
    for name in LISTS:
        listed = part.get(name)
        if listed is not None:
            yield from listed if isinstance(listed, list) else (listed,)
    added = part.get(_ADDED)
    if isinstance(added, dict) and not _is_reference(added):
        yield added.get("definition", added)


def all_tools(kind: CallKind, members: Members) -> Iterator[tuple[str, Any]]:
    """All tools of a call as they stand, with the member that holds them; None for each part without any."""
    for name in LISTS:
        listed = members.get(name)
        yield from ((name, tool) for tool in (listed if isinstance(listed, list) else ()))
    for one in carriers(kind, members):
        if one is None:
            yield CONVERSATIONS[kind], None
        else:
            yield from ((one.member, tool) for tool in tools_of(one.part))


def carried(kind: CallKind, members: Members, one: Carrier) -> Iterator[Offered]:
    """The tools of a carrier."""
    type_ = one.part.get("type")
    if isinstance(type_, str) and type_ in _LISTINGS:
        yield listed_before(members, one.member, one.position, one.part.get(_LISTINGS[type_]))
        return
    for tool in tools_of(one.part):
        yield as_offered(kind, members, one.member, one.position, tool)


def _is_reference(added: dict[str, Any]) -> bool:
    kind = added.get("type")
    return isinstance(kind, str) and kind in _REFERENCES
