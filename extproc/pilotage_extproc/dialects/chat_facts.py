"""What rules ask of chat messages: of chats, and of the other calls that take messages in this form."""

from typing import Any, Final

from pilotage_extproc.dialects.call import Facts, Members
from pilotage_extproc.dialects.conversation import (
    asks_engine_for_json,
    digest_of,
    distinct,
    media_in,
    text_of,
    texts_in,
)
from pilotage_extproc.dialects.looking import Looking

_SYSTEM_ROLES: Final = ("system", "developer")


def _turns(members: Members) -> int:
    return sum(1 for message in Looking().objects(members.get("messages")) if message.get("role") == "user")


def _last_role(members: Members) -> str | None:
    messages = members.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    if not isinstance(last, dict):
        return None
    role = text_of(last.get("role"))
    return "tool" if role == "function" else role


def _named(tool: dict[str, Any]) -> Any:
    """The name of a tool, or of a call of one: `{function: {name}}` or `{custom: {name}}`."""
    for kind in ("function", "custom"):
        inner = tool.get(kind)
        if isinstance(inner, dict):
            return inner.get("name")
    return None


def _tool_names(members: Members) -> tuple[str, ...]:
    looking = Looking()
    names = [_named(tool) for tool in looking.objects(members.get("tools"))]
    names += [function.get("name") for function in looking.objects(members.get("functions"))]
    return distinct(names)


def _tools_used(members: Members) -> tuple[str, ...]:
    looking, names = Looking(), list[Any]()
    for message in looking.objects(members.get("messages")):
        names += [_named(call) for call in looking.objects(message.get("tool_calls"))]
        call = message.get("function_call")
        if isinstance(call, dict):
            names.append(call.get("name"))
    return distinct(names)


def _json_schema(members: Members) -> bool:
    wanted = members.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") == "json_schema":
        return True
    return asks_engine_for_json(members)


def _system_digest(members: Members) -> str | None:
    looking = Looking()
    return digest_of(
        text
        for message in looking.objects(members.get("messages"))
        if message.get("role") in _SYSTEM_ROLES
        for text in texts_in(message.get("content"), looking)
    )


CHAT_FACTS: Final = Facts(
    turns=_turns,
    last_role=_last_role,
    tool_names=_tool_names,
    tools_used=_tools_used,
    media=lambda members: media_in(members.get("messages")),
    json_schema=_json_schema,
    system_digest=_system_digest,
)
