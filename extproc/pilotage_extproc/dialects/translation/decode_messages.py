"""Anthropic messages to the common form."""

from typing import Any, Final

import orjson

from pilotage_extproc.dialects.translation.common import (
    Choosing,
    CommonRequest,
    File,
    Image,
    JsonAnswer,
    Part,
    Reasoning,
    Role,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from pilotage_extproc.dialects.translation.reading import (
    Reading,
    an_object,
    flag,
    integer,
    items,
    number,
    optional_object,
    optional_text,
    text,
    untranslatable,
    wrong,
)
from pilotage_extproc.dialects.translation.sharing import Turns, effort, plain_text

_BILLING: Final = "x-anthropic-billing-header"
"""How Claude Code begins a system block that says who asks; it is new with each request."""
_ROLES: Final = {"user": Role.USER, "assistant": Role.ASSISTANT, "system": Role.SYSTEM}
_PARTS: Final = ("text", "image", "document", "thinking", "redacted_thinking", "tool_use", "tool_result")
_CHOICES: Final = {
    "auto": Choosing.AUTO,
    "none": Choosing.NONE,
    "any": Choosing.REQUIRED,
    "tool": Choosing.NAMED,
}


def decode_messages(members: dict[str, Any], reading: Reading) -> CommonRequest:
    """The request of a parsed body. Raises RequestRefused (400), which names the field."""
    reading.members(members, "", "")
    turns = Turns()
    turns.add(Role.SYSTEM, _system(members.get("system"), reading), "system")
    for index, value in enumerate(items(members.get("messages"), "messages")):
        path = f"messages.{index}"
        message = reading.members(value, "message", path)
        role = text(message.get("role"), f"{path}.role")
        if role not in _ROLES:
            raise wrong(f"{path}.role", f"must be one of {', '.join(_ROLES)}")
        turns.add(_ROLES[role], _content(message.get("content"), f"{path}.content", reading), path)
    choice, parallel = _tool_choice(members.get("tool_choice"))
    output = optional_object(members.get("output_config"), "output_config") or {}
    metadata = optional_object(members.get("metadata"), "metadata") or {}
    stop = items(members.get("stop_sequences"), "stop_sequences")
    return CommonRequest(
        turns=turns.all(),
        tools=[
            _tool(tool, f"tools.{index}", reading)
            for index, tool in enumerate(items(members.get("tools"), "tools"))
        ],
        tool_choice=choice,
        parallel_calls=parallel,
        max_tokens=integer(members.get("max_tokens"), "max_tokens"),
        temperature=number(members.get("temperature"), "temperature"),
        top_p=number(members.get("top_p"), "top_p"),
        stop=tuple(text(one, "stop_sequences") for one in stop),
        stop_path="stop_sequences",
        answer=_answer(output.get("format"), "output_config.format")
        or _answer(members.get("output_format"), "output_format"),
        reasoning=_reasoning(members.get("thinking"), output),
        user=optional_text(metadata.get("user_id"), "metadata.user_id"),
        stream=members.get("stream") is True,
    )


def _system(value: Any, reading: Reading) -> list[Part]:
    parts = _content(value, "system", reading)
    kept = [part for part in parts if not (isinstance(part, Text) and part.text.startswith(_BILLING))]
    if len(kept) < len(parts):
        reading.note("system", "attribution dropped")
    return kept


def _content(value: Any, path: str, reading: Reading) -> list[Part]:
    if isinstance(value, str):
        return [*plain_text(value)]
    parts: list[Part] = []
    for index, part in enumerate(items(value, path)):
        parts += _part(part, f"{path}.{index}", reading)
    return parts


def _part(value: Any, path: str, reading: Reading) -> tuple[Part, ...]:
    kind = an_object(value, path).get("type")
    if kind not in _PARTS:
        raise untranslatable(f"{path}.type", f"parts are {', '.join(_PARTS)}")
    part = reading.members(value, kind, path)
    if kind == "text":
        return plain_text(text(part.get("text"), f"{path}.text"))
    if kind == "document":
        return _document(part, path)
    return (_single(part, kind, path, reading),)


def _single(part: dict[str, Any], kind: str, path: str, reading: Reading) -> Part:
    if kind == "image":
        return _image(part.get("source"), f"{path}.source")
    if kind == "tool_use":
        return _call(part, path)
    if kind == "tool_result":
        return _result(part, path, reading)
    return _thinking(part, path)


def _thinking(part: dict[str, Any], path: str) -> Thinking:
    if part["type"] == "redacted_thinking":
        return Thinking(redacted=text(part.get("data"), f"{path}.data"))
    signature = optional_text(part.get("signature"), f"{path}.signature") or ""
    return Thinking(text(part.get("thinking"), f"{path}.thinking"), signature)


def _image(value: Any, path: str) -> Image:
    source = an_object(value, path)
    if source.get("type") == "base64":
        media_type = text(source.get("media_type"), f"{path}.media_type")
        return Image(media_type=media_type, data=text(source.get("data"), f"{path}.data"))
    if source.get("type") == "url":
        return Image(url=text(source.get("url"), f"{path}.url"))
    raise untranslatable(f"{path}.type", "send its bytes as `base64`")


def _document(part: dict[str, Any], path: str) -> tuple[Part, ...]:
    at = f"{path}.source"
    source = an_object(part.get("source"), at)
    kind = source.get("type")
    if kind == "base64":
        return (
            File(text(source.get("data"), f"{at}.data"), optional_text(part.get("title"), f"{path}.title")),
        )
    if kind == "text":
        return plain_text(text(source.get("data"), f"{at}.data"))
    if kind == "content" and isinstance(source.get("content"), str):
        return plain_text(source["content"])
    raise untranslatable(f"{at}.type", "send its bytes as `base64`, or its text as `text`")


def _call(part: dict[str, Any], path: str) -> ToolCall:
    given = an_object(part.get("input"), f"{path}.input")
    return ToolCall(
        id=text(part.get("id"), f"{path}.id"),
        name=text(part.get("name"), f"{path}.name"),
        arguments=orjson.dumps(given).decode(),
        path=f"{path}.name",
    )


def _result(part: dict[str, Any], path: str, reading: Reading) -> ToolResult:
    content = _content(part.get("content"), f"{path}.content", reading)
    parts = tuple(one for one in content if isinstance(one, Text | Image | File))
    if len(parts) < len(content):
        raise wrong(f"{path}.content", "must be text, images or documents")
    failed = flag(part.get("is_error"), f"{path}.is_error") or False
    return ToolResult(text(part.get("tool_use_id"), f"{path}.tool_use_id"), parts, failed, path=path)


def _tool(value: Any, path: str, reading: Reading) -> Tool:
    if an_object(value, path).get("type") not in (None, "custom"):
        raise untranslatable(f"{path}.type", "only tools of the client can be carried")
    tool = reading.members(value, "tool", path)
    return Tool(
        name=text(tool.get("name"), f"{path}.name"),
        description=optional_text(tool.get("description"), f"{path}.description"),
        schema=optional_object(tool.get("input_schema"), f"{path}.input_schema"),
        strict=flag(tool.get("strict"), f"{path}.strict"),
        path=f"{path}.name",
    )


def _tool_choice(value: Any) -> tuple[ToolChoice | None, bool | None]:
    """The choice, and whether calls may be made at once."""
    choice = optional_object(value, "tool_choice")
    if choice is None:
        return None, None
    kind = choice.get("type")
    if not isinstance(kind, str) or kind not in _CHOICES:
        raise wrong("tool_choice.type", f"must be one of {', '.join(_CHOICES)}")
    mode = _CHOICES[kind]
    name = text(choice.get("name"), "tool_choice.name") if mode is Choosing.NAMED else ""
    single = flag(choice.get("disable_parallel_tool_use"), "tool_choice.disable_parallel_tool_use")
    return ToolChoice(mode, name), None if single is None else not single


def _answer(value: Any, path: str) -> JsonAnswer | None:
    form = optional_object(value, path)
    if form is None:
        return None
    if form.get("type") != "json_schema":
        raise wrong(f"{path}.type", "must be json_schema")
    return JsonAnswer(schema=an_object(form.get("schema"), f"{path}.schema"), strict=True)


def _reasoning(value: Any, output: dict[str, Any]) -> Reasoning | None:
    thinking = optional_object(value, "thinking") or {}
    word = effort(output.get("effort"), "output_config.effort")
    budget = None
    if thinking.get("type") == "enabled":
        budget = integer(thinking.get("budget_tokens"), "thinking.budget_tokens")
    elif thinking.get("type") == "disabled" and word is None:
        word = "none"
    return Reasoning(word, budget) if word or budget else None
