"""Anthropic messages, and the count of their tokens.

https://docs.anthropic.com/en/api/messages
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from pilotage_extproc.dialects.call import Dialect, Facts, Members, check_messages, no_prompt
from pilotage_extproc.dialects.conversation import digest_of, distinct, media_in, text_of, texts_in
from pilotage_extproc.dialects.looking import Looking
from pilotage_extproc.dialects.prompt_parts import MOST_PARTS, Parts, add_content, add_messages
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import ErrorShape

VERSION_HEADER: Final = "anthropic-version"
"""Every client of this API sends it; on paths that two APIs share it tells whose answer is expected."""
_BILLING: Final = "x-anthropic-billing-header"
"""How Claude Code begins a system block that is new with each request; vLLM takes it out of the prompt."""


def _system(members: Members) -> Any:
    """The system prompt without what is new with each request and never reaches the model."""
    return _unattributed(members.get("system"))


def _unattributed(system: Any) -> Any:
    """As vLLM gives a system prompt to the model: without blocks that say who asks.

    Of many blocks the first alone are looked at: what follows is not told apart.
    """
    if not isinstance(system, list):
        return system
    first = system[:MOST_PARTS]
    if not any(map(_is_billing, first)):
        return system
    return [*(block for block in first if not _is_billing(block)), *system[MOST_PARTS:]]


def _is_billing(block: Any) -> bool:
    text = block.get("text") if isinstance(block, dict) else None
    return isinstance(text, str) and text.startswith(_BILLING)


def _prompt(members: Members, parts: Parts) -> None:
    system = _system(members)
    if system:
        parts.add_role("system", written=False)
        add_content(system, parts)
    messages = members.get("messages")
    if isinstance(messages, list) and any(map(_is_system, messages[:MOST_PARTS])):
        messages = [
            {**message, "content": _unattributed(message.get("content"))} if _is_system(message) else message
            for message in messages[:MOST_PARTS]
        ] + messages[MOST_PARTS:]
    add_messages(messages, parts)


def _is_system(message: Any) -> bool:
    return isinstance(message, dict) and message.get("role") == "system"


def _is_result(message: dict[str, Any], looking: Looking) -> bool:
    """Whether a message of the user only hands back results of tools."""
    content = message.get("content")
    if not isinstance(content, list) or not content:
        return False
    parts = looking.objects(content)
    return len(parts) == len(content) and all(_is_result_type(part.get("type")) for part in parts)


def _is_result_type(kind: Any) -> bool:
    return isinstance(kind, str) and kind.endswith("tool_result")


def _turns(members: Members) -> int:
    looking = Looking()
    messages = looking.objects(members.get("messages"))
    return sum(
        1 for message in messages if message.get("role") == "user" and not _is_result(message, looking)
    )


def _last_role(members: Members) -> str | None:
    messages = members.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    if not isinstance(last, dict):
        return None
    role = text_of(last.get("role"))
    return "tool" if role == "user" and _is_result(last, Looking()) else role


def _tool_names(members: Members) -> tuple[str, ...]:
    return distinct(tool.get("name") for tool in Looking().objects(members.get("tools")))


def _tools_used(members: Members) -> tuple[str, ...]:
    return distinct(part.get("name") for part in _parts(members) if _is_use(part.get("type")))


def _is_use(kind: Any) -> bool:
    return isinstance(kind, str) and kind.endswith("tool_use")


def _parts(members: Members) -> Iterator[dict[str, Any]]:
    looking = Looking()
    for message in looking.objects(members.get("messages")):
        yield from looking.objects(message.get("content"))


def _json_schema(members: Members) -> bool:
    wanted = members.get("output_config")
    form = wanted.get("format") if isinstance(wanted, dict) else members.get("output_format")
    return isinstance(form, dict) and form.get("type") == "json_schema"


def _system_digest(members: Members) -> str | None:
    system = members.get("system")
    if isinstance(system, list):
        system = [block for block in Looking().objects(system) if not _is_billing(block)]
    return digest_of(texts_in(system, Looking()))


FACTS: Final = Facts(
    turns=_turns,
    last_role=_last_role,
    tool_names=_tool_names,
    tools_used=_tools_used,
    media=lambda members: media_in(members.get("messages")),
    json_schema=_json_schema,
    system_digest=_system_digest,
)

MESSAGES: Final = Dialect(
    kind=CallKind.MESSAGES,
    paths=("/v1/messages",),
    errors=ErrorShape.ANTHROPIC,
    check=check_messages,
    prompt=_prompt,
    facts=FACTS,
    streams=True,
    output_limits=("max_tokens",),
    usage=("usage", "message.usage"),
)

COUNT_TOKENS: Final = replace(
    MESSAGES,
    kind=CallKind.COUNT_TOKENS,
    paths=("/v1/messages/count_tokens",),
    prompt=no_prompt,  # nothing is prefilled
    streams=False,
    output_limits=(),
    usage=(),
)
