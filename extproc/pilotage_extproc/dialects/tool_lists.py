"""The tools that requests offer, in the terms of three APIs: by name those of the client, by type the others.

Chat completions, Anthropic messages and Responses. What the provider runs (web search, code, MCP servers) is
told by its type: whatever has a type that is not known to be the client's.
"""

import re
from collections.abc import Iterator
from types import MappingProxyType
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
SWITCHES: Final = MappingProxyType(
    {
        "web_search_options": "web_search",
        "search_parameters": "web_search",
        "enable_search": "web_search",
        "plugins": "plugins",
    }
)
"""Members that have the provider run something without a tool, with its type: of OpenAI, xAI, DashScope and
OpenRouter."""
MOST_TOOLS: Final = 1024
"""That one request may offer: they are compared with each other."""
_DEEPEST_GROUP: Final = 2
_TEMPLATE_VARIABLES: Final = ("chat_template_kwargs", "chat_template_args")
"""Of vLLM, SGLang and TensorRT-LLM. A template takes variables in place of the call's own members."""
_NO_TOOLS: Final = frozenset({"documents", "controls"})
"""Variables of templates that have parts of their own, none of them a tool."""
_HOST: Final = re.compile(r"https?://([a-z0-9.-]+)(?::[0-9]{1,5})?(?:[/?#][^@\\]*)?", re.IGNORECASE)
"""Of URLs that all parsers read alike."""


class Offered(NamedTuple):
    """One item of a list of tools."""

    member: str
    position: int
    name: str
    """Of a tool of the client; of the provider's its type, of an MCP server `mcp/` and its name."""
    provider_run: bool
    words: str = ""
    """Its name and description."""
    also: str | None = None
    """Another name of it: of an MCP server with its host; of the client's what another API would read."""
    within: tuple["Offered", ...] = ()
    """Tools that it groups, as a namespace does."""


def offered(kind: CallKind, members: Members) -> Iterator[Offered]:
    """All of them; what is no object is called ``."""
    for member in LISTS:
        items = members.get(member)
        for index, item in enumerate(items if isinstance(items, list) else ()):
            yield _of(kind, members, member, index, item if isinstance(item, dict) else {})


def as_offered(kind: CallKind, members: Members, member: str, position: int, tool: object) -> Offered:
    """A tool that stands elsewhere than in a list of the call's, such as in an item of its conversation."""
    return _of(kind, members, member, position, tool if isinstance(tool, dict) else {})


def listed_before(members: Members, member: str, position: int, label: object) -> Offered:
    """Tools that an MCP server has listed before, as clients send them back: as allowed as it is."""
    return _of_server(members, member, position, _text(label))


def malformed(members: Members) -> str:
    """A list of tools that is none, so that nobody knows who reads what in it; empty where there is none."""
    return next((name for name in LISTS if not isinstance(members.get(name, []), list | None)), "")


def template(kind: CallKind, members: Members) -> str | None:
    """The template of the provider's that a request fills in, which may bring tools: `prompt/` and its id."""
    prompt = members.get("prompt")
    if kind is not CallKind.RESPONSES or prompt is None:
        return None
    return f"prompt/{_text(prompt.get('id')) if isinstance(prompt, dict) else ''}"


def hidden_in_template(members: Members) -> str:
    """The member whose variables may have a chat template write tools; empty where there is none."""
    for name in _TEMPLATE_VARIABLES:
        given = members.get(name)
        if given is not None and not (
            isinstance(given, dict) and all(map(_is_no_tool, given, given.values()))
        ):
            return name
    return ""


def _is_no_tool(name: str, value: object) -> bool:
    if isinstance(value, dict | list):
        return name in _NO_TOOLS or not value
    return not isinstance(value, str) or "tool" not in name.lower()


def _of(
    call: CallKind, members: Members, member: str, index: int, item: dict[str, Any], deep: int = 0
) -> Offered:
    one = _alone(call, members, member, index, item)
    grouped = item.get("tools")
    if grouped is None:
        return one
    seen = isinstance(grouped, list) and len(grouped) <= MOST_TOOLS and deep < _DEEPEST_GROUP
    inner = [tool if isinstance(tool, dict) else {} for tool in grouped] if seen else [{}]
    within = tuple([_of(call, members, member, index, tool, deep + 1) for tool in inner])
    return one._replace(within=within)


def _alone(call: CallKind, members: Members, member: str, index: int, item: dict[str, Any]) -> Offered:
    if member in SERVER_LISTS:
        name = f"mcp/{_text(item.get('name'))}"
        return Offered(member, index, name, True, also=_with_host(name, item))
    kind = item.get("type")
    if member == "functions" or kind is None or kind in _BY_NAME or _is_client_run(kind):
        return _clients(call, member, index, item)
    if kind == "mcp":
        name = f"mcp/{_text(item.get('server_label'))}"
        return Offered(member, index, name, True, also=_with_host(name, item))
    if kind == "mcp_toolset":
        return _of_server(members, member, index, _text(item.get("mcp_server_name")))
    return Offered(member, index, _text(kind), True)


def _of_server(members: Members, member: str, index: int, label: str) -> Offered:
    """What belongs to an MCP server that stands elsewhere in the call, if it does once."""
    mine = [
        one
        for name, key in (("mcp_servers", "name"), ("tools", "server_label"))
        for one in _objects(members.get(name))
        if one.get(key) == label
    ]
    also = _with_host(f"mcp/{label}", mine[0]) if len(mine) == 1 else None
    return Offered(member, index, f"mcp/{label}", True, also=also)


def _objects(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _clients(call: CallKind, member: str, index: int, item: dict[str, Any]) -> Offered:
    kind = item.get("type")
    own = item.get(kind if isinstance(kind, str) else "function")
    inner = own if isinstance(own, dict) else {}
    names = [_text(one.get("name")) for one in ((inner, item) if call is CallKind.CHAT else (item, inner))]
    given = [name for name in names if name]
    if not given:  # something without a name, such as {"google_search": {}}
        return Offered(member, index, _text(kind) or next(iter(item), ""), True)
    about = _text(inner.get("description")) or _text(item.get("description"))
    also = given[-1] if given[-1] != given[0] else None
    return Offered(member, index, given[0], False, f"{given[0]} {about}", also)


def _with_host(name: str, server: dict[str, Any]) -> str | None:
    """The name of an MCP server with where it is: its host, or a connector of the provider's."""
    place = server.get("server_url", server.get("url"))
    found = _HOST.fullmatch(place) if isinstance(place, str) else None
    if found is not None:
        return f"{name}@{found[1].lower()}"
    connector = _text(server.get("connector_id"))
    return f"{name}@{connector}" if connector and place is None else None


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
