"""Stateless Responses to the common form."""

from typing import Any, Final

from pilotage_extproc.dialects.translation.common import (
    Choosing,
    CommonRequest,
    File,
    Image,
    JsonAnswer,
    Reasoning,
    Role,
    Text,
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

_ROLES: Final = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
}
_ITEMS: Final = ("message", "function_call", "function_call_output", "reasoning")
_PARTS: Final = ("input_text", "output_text", "refusal", "input_image", "input_file")
_CHOICES: Final = {"auto": Choosing.AUTO, "none": Choosing.NONE, "required": Choosing.REQUIRED}


def decode_responses(members: dict[str, Any], reading: Reading) -> CommonRequest:
    """The request of a parsed body. Raises RequestRefused (400), which names the field."""
    reading.members(members, "", "")
    turns = Turns()
    instructions = optional_text(members.get("instructions"), "instructions")
    turns.add(Role.SYSTEM, plain_text(instructions or ""), "instructions")
    given = members.get("input")
    if isinstance(given, str):
        turns.add(Role.USER, plain_text(given), "input")
    else:
        for index, item in enumerate(items(given, "input")):
            _add_item(turns, item, f"input.{index}", reading)
    form = optional_object(members.get("text"), "text") or {}
    thinking = optional_object(members.get("reasoning"), "reasoning") or {}
    for name in thinking:
        if name != "effort" and thinking[name] is not None:
            reading.note("reasoning", "all but `effort` dropped")
            break
    word = effort(thinking.get("effort"), "reasoning.effort")
    return CommonRequest(
        turns=turns.all(),
        tools=[
            _tool(tool, f"tools.{index}", reading)
            for index, tool in enumerate(items(members.get("tools"), "tools"))
        ],
        tool_choice=_tool_choice(members.get("tool_choice")),
        parallel_calls=flag(members.get("parallel_tool_calls"), "parallel_tool_calls"),
        max_tokens=integer(members.get("max_output_tokens"), "max_output_tokens"),
        temperature=number(members.get("temperature"), "temperature"),
        top_p=number(members.get("top_p"), "top_p"),
        answer=_answer(form.get("format")),
        verbosity=optional_text(form.get("verbosity"), "text.verbosity"),
        reasoning=Reasoning(effort=word) if word else None,
        user=optional_text(members.get("safety_identifier") or members.get("user"), "user"),
        stream=members.get("stream") is True,
    )


def _add_item(turns: Turns, value: Any, path: str, reading: Reading) -> None:
    kind = an_object(value, path).get("type", "message")
    if kind not in _ITEMS:
        raise untranslatable(f"{path}.type", f"items are {', '.join(_ITEMS)}")
    item = reading.members(value, kind, path)
    if kind == "message":
        role = text(item.get("role"), f"{path}.role")
        if role not in _ROLES:
            raise wrong(f"{path}.role", f"must be one of {', '.join(_ROLES)}")
        turns.add(_ROLES[role], _content(item.get("content"), f"{path}.content", reading), path)
    elif kind == "function_call":
        turns.add(Role.ASSISTANT, [_call(item, path)], path)
    elif kind == "function_call_output":
        parts = _content(item.get("output"), f"{path}.output", reading)
        call = text(item.get("call_id"), f"{path}.call_id")
        turns.add(Role.USER, [ToolResult(call, tuple(parts), path=path)], path)


def _content(value: Any, path: str, reading: Reading) -> list[Text | Image | File]:
    if isinstance(value, str):
        return [*plain_text(value)]
    parts: list[Text | Image | File] = []
    for index, part in enumerate(items(value, path)):
        parts += _part(part, f"{path}.{index}", reading)
    return parts


def _part(value: Any, path: str, reading: Reading) -> tuple[Text | Image | File, ...]:
    kind = an_object(value, path).get("type")
    if kind not in _PARTS:
        raise untranslatable(f"{path}.type", f"parts are {', '.join(_PARTS)}")
    part = reading.members(value, kind, path)
    if kind == "refusal":
        return plain_text(text(part.get("refusal"), f"{path}.refusal"))
    if kind == "input_image":
        url = text(part.get("image_url"), f"{path}.image_url")
        return (image_at(url, f"{path}.image_url", optional_text(part.get("detail"), f"{path}.detail")),)
    if kind == "input_file":
        name = optional_text(part.get("filename"), f"{path}.filename")
        at = f"{path}.file_data"
        return (pdf_in(text(part.get("file_data"), at), name, at),)
    return plain_text(text(part.get("text"), f"{path}.text"))


def _call(item: dict[str, Any], path: str) -> ToolCall:
    return ToolCall(
        id=text(item.get("call_id"), f"{path}.call_id"),
        name=text(item.get("name"), f"{path}.name"),
        arguments=json_object_text(item.get("arguments"), f"{path}.arguments"),
        path=f"{path}.name",
    )


def _tool(value: Any, path: str, reading: Reading) -> Tool:
    if an_object(value, path).get("type") != "function":
        raise untranslatable(f"{path}.type", "only functions can be carried")
    tool = reading.members(value, "tool", path)
    return Tool(
        name=text(tool.get("name"), f"{path}.name"),
        description=optional_text(tool.get("description"), f"{path}.description"),
        schema=optional_object(tool.get("parameters"), f"{path}.parameters"),
        strict=flag(tool.get("strict"), f"{path}.strict"),
        path=f"{path}.name",
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
    return ToolChoice(Choosing.NAMED, text(value.get("name"), "tool_choice.name"))


def _answer(value: Any) -> JsonAnswer | None:
    form = optional_object(value, "text.format")
    if form is None or form.get("type") == "text":
        return None
    if form.get("type") == "json_object":
        return JsonAnswer()
    if form.get("type") != "json_schema":
        raise wrong("text.format.type", "must be text, json_object or json_schema")
    return json_schema(form, "text.format")
