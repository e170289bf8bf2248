"""OpenAI Responses.

https://platform.openai.com/docs/api-reference/responses. A stateless call (`store: false`) sends its whole
conversation as items; their text reads like a chat's, so that a later turn begins with the earlier one
whether a client sends an answer back as it came or as a plain message.
"""

from typing import Any, Final

from pilotage_extproc.dialects.call import Dialect, Facts, Members, check_any
from pilotage_extproc.dialects.conversation import digest_of, distinct, media_in, text_of, texts_in
from pilotage_extproc.dialects.looking import Looking
from pilotage_extproc.dialects.prompt_parts import (
    MOST_PARTS,
    Parts,
    add_content,
    add_rest,
)
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import Refusal, RequestRefused

_UNSEEN: Final = frozenset({"id", "status", "annotations", "logprobs", "phase"})
"""Members of an item that no prompt shows: an API's bookkeeping, which some clients drop."""
_PLAIN: Final = frozenset({"type", "role", "content"})
_CALL: Final = "_call"
_CALL_OUTPUT: Final = "_call_output"
_SYSTEM_ROLES: Final = ("system", "developer")


def _check(members: Members) -> None:
    previous = members.get("previous_response_id")
    if previous is not None and not isinstance(previous, str):
        message = "`previous_response_id` must be a string."
        raise RequestRefused(Refusal.INVALID_FIELD, message, param="previous_response_id")
    _check_input(members)


_check_input = check_any("input", "prompt")


def _prompt(members: Members, parts: Parts) -> None:
    instructions = members.get("instructions")
    if isinstance(instructions, str):
        parts.add_role("system")
        parts.add_text(instructions)
    given = members.get("input")
    if isinstance(given, list):
        _add_items(given, parts)
    elif given is not None:
        parts.add_role("user")
        add_content(given, parts)


def _add_items(items: list[Any], parts: Parts) -> None:
    for index, item in enumerate(items):
        if len(parts) >= MOST_PARTS:
            parts.add_unread(items[index:])
            return
        if not isinstance(item, dict):
            parts.add_json(item)
            continue
        if len(item) > MOST_PARTS:
            parts.add_unread(item)
            continue
        role = _role_of(item)
        parts.add_role(role)
        if item.get("type", "message") == "message":
            add_content(item.get("content"), parts)
            rest = {name: value for name, value in item.items() if name not in _PLAIN and name not in _UNSEEN}
            if rest:
                add_rest(rest, parts)
        else:
            add_rest({name: value for name, value in item.items() if name not in _UNSEEN}, parts)


def _role_of(item: dict[str, Any]) -> str:
    """As a chat would have it: calls and reasoning are the assistant's, their results the tool's."""
    role = item.get("role")
    if isinstance(role, str):
        return role
    kind = item.get("type")
    return "tool" if isinstance(kind, str) and kind.endswith(_CALL_OUTPUT) else "assistant"


def _items(members: Members) -> Any:
    return members.get("input")


def _turns(members: Members) -> int:
    given = _items(members)
    if isinstance(given, str):
        return 1
    return sum(1 for item in Looking().objects(given) if _role_of(item) == "user")


def _last_role(members: Members) -> str | None:
    given = _items(members)
    if isinstance(given, str):
        return "user"
    last = given[-1] if isinstance(given, list) and given else None
    return _role_of(last) if isinstance(last, dict) else None


def _tool_names(members: Members) -> tuple[str, ...]:
    """A function's name; of a tool that has none, what kind it is (`web_search`)."""
    return distinct(
        text_of(tool.get("name")) or tool.get("type") for tool in Looking().objects(members.get("tools"))
    )


def _tools_used(members: Members) -> tuple[str, ...]:
    names: list[Any] = []
    for item in Looking().objects(_items(members)):
        kind = item.get("type")
        if isinstance(kind, str) and kind.endswith(_CALL):
            names.append(text_of(item.get("name")) or kind.removesuffix(_CALL))
    return distinct(names)


def _json_schema(members: Members) -> bool:
    text = members.get("text")
    wanted = text.get("format") if isinstance(text, dict) else None
    return isinstance(wanted, dict) and wanted.get("type") == "json_schema"


def _system_digest(members: Members) -> str | None:
    instructions = text_of(members.get("instructions"))
    texts = [] if instructions is None else [instructions]
    looking = Looking()
    for item in looking.objects(_items(members)):
        if item.get("role") in _SYSTEM_ROLES:
            texts += texts_in(item.get("content"), looking)
    return digest_of(texts)


RESPONSES: Final = Dialect(
    kind=CallKind.RESPONSES,
    paths=("/v1/responses",),
    check=_check,
    prompt=_prompt,
    stands_for_more=("previous_response_id", "conversation", "prompt"),
    facts=Facts(
        turns=_turns,
        last_role=_last_role,
        tool_names=_tool_names,
        tools_used=_tools_used,
        media=lambda members: media_in(_items(members)),
        json_schema=_json_schema,
        system_digest=_system_digest,
    ),
    streams=True,
    stored=True,
    output_limits=("max_output_tokens",),
    usage=("usage", "response.usage"),
)
