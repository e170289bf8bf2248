"""Chat completions to the common form."""

from typing import Any

from pilotage_extproc.dialects.translation.common import (
    Choosing,
    CommonRequest,
    JsonAnswer,
    Part,
    Reasoning,
    Role,
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
from pilotage_extproc.dialects.translation.sharing import (
    Turns,
    effort,
    image_at,
    json_object_text,
    json_schema,
    pdf_in,
    plain_text,
)

_ROLES = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "tool": Role.USER,
    "assistant": Role.ASSISTANT,
}
_CHOICES = {"auto": Choosing.AUTO, "none": Choosing.NONE, "required": Choosing.REQUIRED}


def decode_chat(members: dict[str, Any], reading: Reading) -> CommonRequest:
    """The request of a parsed body. Raises RequestRefused (400), which names the field."""
    reading.members(members, "", "")
    turns = Turns()
    for index, message in enumerate(items(members.get("messages"), "messages")):
        _add_message(turns, message, f"messages.{index}", reading)
    limits = [integer(members.get(name), name) for name in ("max_completion_tokens", "max_tokens")]
    options = optional_object(members.get("stream_options"), "stream_options") or {}
    thinking = effort(members.get("reasoning_effort"), "reasoning_effort")
    top_k = integer(members.get("top_k"), "top_k")
    stop = members.get("stop")
    return CommonRequest(
        turns=turns.all(),
        tools=[
            _tool(tool, f"tools.{index}", reading)
            for index, tool in enumerate(items(members.get("tools"), "tools"))
        ],
        tool_choice=_tool_choice(members.get("tool_choice")),
        parallel_calls=flag(members.get("parallel_tool_calls"), "parallel_tool_calls"),
        max_tokens=min((limit for limit in limits if limit is not None), default=None),
        temperature=number(members.get("temperature"), "temperature"),
        top_p=number(members.get("top_p"), "top_p"),
        top_k=None if top_k in (-1, 0) else top_k,
        stop=(stop,) if isinstance(stop, str) else tuple(text(one, "stop") for one in items(stop, "stop")),
        answer=_answer(members.get("response_format")),
        reasoning=Reasoning(effort=thinking) if thinking else None,
        user=optional_text(members.get("safety_identifier") or members.get("user"), "user"),
        stream=members.get("stream") is True,
        usage_wanted=options.get("include_usage") is True,
    )


def _add_message(turns: Turns, value: Any, path: str, reading: Reading) -> None:
    message = reading.members(value, "message", path)
    role = text(message.get("role"), f"{path}.role")
    if role not in _ROLES:
        raise wrong(f"{path}.role", f"must be one of {', '.join(_ROLES)}")
    cache = optional_object(message.get("cache_control"), f"{path}.cache_control")
    content = _content(message.get("content"), f"{path}.content", reading, cache)
    if role == "tool":
        call = text(message.get("tool_call_id"), f"{path}.tool_call_id")
        parts = tuple(part for part in content if not isinstance(part, Thinking | ToolCall | ToolResult))
        turns.add(Role.USER, [ToolResult(call, parts, cache=cache, path=path)], path)
        return
    if role != "assistant":
        turns.add(_ROLES[role], content, path)
        return
    refusal = optional_text(message.get("refusal"), f"{path}.refusal") or ""
    thoughts = _thinking(message.get("thinking_blocks"), f"{path}.thinking_blocks")
    calls = [
        _call(call, f"{path}.tool_calls.{index}")
        for index, call in enumerate(items(message.get("tool_calls"), f"{path}.tool_calls"))
    ]
    turns.add(Role.ASSISTANT, [*thoughts, *content, *plain_text(refusal), *calls], path)


def _content(value: Any, path: str, reading: Reading, cache: dict[str, Any] | None) -> list[Part]:
    if isinstance(value, str):
        return [*plain_text(value, cache)]
    parts: list[Part] = []
    for index, part in enumerate(items(value, path)):
        parts += _part(part, f"{path}.{index}", reading)
    return parts


def _part(value: Any, path: str, reading: Reading) -> tuple[Part, ...]:
    kind = an_object(value, path).get("type")
    if kind not in ("text", "refusal", "image_url", "file"):
        raise untranslatable(f"{path}.type", "parts are text, images or PDFs")
    part = reading.members(value, kind, path)
    cache = optional_object(part.get("cache_control"), f"{path}.cache_control")
    if kind == "text":
        return plain_text(text(part.get("text"), f"{path}.text"), cache)
    if kind == "refusal":
        return plain_text(text(part.get("refusal"), f"{path}.refusal"))
    if kind == "image_url":
        image = an_object(part.get("image_url"), f"{path}.image_url")
        url = text(image.get("url"), f"{path}.image_url.url")
        if image.get("detail") not in (None, "auto"):
            reading.note(f"{path}.image_url.detail", "dropped")
        return (image_at(url, f"{path}.image_url.url", cache=cache),)
    file = an_object(part.get("file"), f"{path}.file")
    if file.get("file_data") is None:
        raise untranslatable(f"{path}.file", "send its bytes as `file_data`")
    data = text(file["file_data"], f"{path}.file.file_data")
    name = optional_text(file.get("filename"), f"{path}.file.filename")
    return (pdf_in(data, name, f"{path}.file.file_data", cache),)


def _thinking(value: Any, path: str) -> list[Thinking]:
    thoughts: list[Thinking] = []
    for index, one in enumerate(items(value, path)):
        at = f"{path}.{index}"
        block = an_object(one, at)
        if block.get("type") == "redacted_thinking":
            thoughts.append(Thinking(redacted=text(block.get("data"), f"{at}.data")))
        else:
            said = text(block.get("thinking"), f"{at}.thinking")
            signature = optional_text(block.get("signature"), f"{at}.signature") or ""
            thoughts.append(Thinking(said, signature))
    return thoughts


def _call(value: Any, path: str) -> ToolCall:
    call = an_object(value, path)
    if call.get("type", "function") != "function":
        raise untranslatable(f"{path}.type", "only calls of functions can be carried")
    function = an_object(call.get("function"), f"{path}.function")
    return ToolCall(
        id=text(call.get("id"), f"{path}.id"),
        name=text(function.get("name"), f"{path}.function.name"),
        arguments=json_object_text(function.get("arguments"), f"{path}.function.arguments"),
        path=f"{path}.function.name",
    )


def _tool(value: Any, path: str, reading: Reading) -> Tool:
    if an_object(value, path).get("type") != "function":
        raise untranslatable(f"{path}.type", "only functions can be carried")
    tool = reading.members(value, "tool", path)
    at = f"{path}.function"
    function = reading.members(tool.get("function"), "function", at)
    return Tool(
        name=text(function.get("name"), f"{at}.name"),
        description=optional_text(function.get("description"), f"{at}.description"),
        schema=optional_object(function.get("parameters"), f"{at}.parameters"),
        strict=flag(function.get("strict"), f"{at}.strict"),
        cache=optional_object(tool.get("cache_control"), f"{path}.cache_control"),
        path=f"{at}.name",
    )


def _tool_choice(value: Any) -> ToolChoice | None:
    if value is None:
        return None
    if isinstance(value, str):
        if value not in _CHOICES:
            raise wrong("tool_choice", f"must be one of {', '.join(_CHOICES)}, or name a function")
        return ToolChoice(_CHOICES[value])
    if an_object(value, "tool_choice").get("type") != "function":
        raise untranslatable("tool_choice.type", "only a function can be chosen")
    function = an_object(value.get("function"), "tool_choice.function")
    return ToolChoice(Choosing.NAMED, text(function.get("name"), "tool_choice.function.name"))


def _answer(value: Any) -> JsonAnswer | None:
    if value is None:
        return None
    kind = an_object(value, "response_format").get("type")
    if kind == "json_object":
        return JsonAnswer()
    if kind == "json_schema":
        return json_schema(value.get("json_schema"), "response_format.json_schema")
    if kind != "text":
        raise wrong("response_format.type", "must be text, json_object or json_schema")
    return None
