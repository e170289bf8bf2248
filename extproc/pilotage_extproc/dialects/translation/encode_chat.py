"""The common form to a request of chat completions."""

from collections.abc import Iterable
from typing import Any, Final

from pilotage_extproc.dialects.translation.call_ids import for_chat
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
    ToolResult,
    Turn,
)
from pilotage_extproc.dialects.translation.facts import ModelFacts
from pilotage_extproc.dialects.translation.reading import Reading, untranslatable
from pilotage_extproc.dialects.translation.tool_names import OPENAI_NAME, check_names

_LONGEST_USER: Final = 64
"""Characters: OpenAI refuses longer ones."""
_FAILED: Final = "error"
"""The result of a call that failed and says nothing of it: this API has no other place for that."""
_EFFORT_BY_BUDGET: Final = ((4096, "low"), (16384, "medium"))
"""Anthropic's budgets of thinking, in tokens, as words; a larger one is `high`."""


def encode_chat(request: CommonRequest, facts: ModelFacts, reading: Reading) -> dict[str, Any]:
    """The body, with no member that asks for nothing.

    Raises RequestRefused (400), which names the field, for what the provider would refuse.
    """
    check_names(request, OPENAI_NAME, OPENAI_NAME)
    body: dict[str, Any] = {"model": facts.model, "messages": _messages(request.turns, reading)}
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        _add_choice(body, request)
    elif request.tool_choice is not None or request.parallel_calls is not None:
        reading.note("tool_choice", "dropped: there are no tools")
    limit = request.max_tokens
    if limit is not None and facts.max_output_tokens is not None and limit > facts.max_output_tokens:
        limit = facts.max_output_tokens
        reading.note("max_tokens", f"lowered to {limit}, the model's most")
    settings = {
        "max_completion_tokens": limit,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "stop": _stops(request, facts),
        "response_format": _answer(request.answer),
        "reasoning_effort": _effort(request.reasoning, facts, reading),
        "verbosity": request.verbosity,
        "user": _user(request.user, reading),
    }
    body |= {name: value for name, value in settings.items() if value is not None}
    if request.stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    return body


def _stops(request: CommonRequest, facts: ModelFacts) -> list[str] | None:
    if facts.most_stops is not None and len(request.stop) > facts.most_stops:
        raise untranslatable(request.stop_path, f"there are at most {facts.most_stops} there")
    return list(request.stop) or None


def _messages(turns: Iterable[Turn], reading: Reading) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for turn in turns:
        if turn.role is Role.SYSTEM:
            messages.append({"role": "system", "content": _content(turn.parts)})
        elif turn.role is Role.ASSISTANT:
            said = _assistant(turn.parts, reading)
            if said is not None:
                messages.append(said)
        else:
            messages += _user_messages(turn, reading)
    return messages


def _assistant(parts: tuple[Part, ...], reading: Reading) -> dict[str, Any] | None:
    """One message, or None of a turn that only thought."""
    message: dict[str, Any] = {"role": "assistant"}
    texts = [part for part in parts if isinstance(part, Text | Image | File)]
    calls = [part for part in parts if isinstance(part, ToolCall)]
    if texts:
        message["content"] = _content(texts)
    if calls:
        message["tool_calls"] = [_call(call, reading) for call in calls]
    return message if texts or calls else None


def _call(call: ToolCall, reading: Reading) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": for_chat(call.id, reading), "type": "function", "function": function}


def _user_messages(turn: Turn, reading: Reading) -> list[dict[str, Any]]:
    """Results of tools first, each a message; then what else the user says."""
    messages: list[dict[str, Any]] = []
    moved: list[Part] = []
    rest: list[Part] = []
    for part in turn.parts:
        if not isinstance(part, ToolResult):
            rest.append(part)
            continue
        texts = [one for one in part.parts if isinstance(one, Text)]
        others = [one for one in part.parts if not isinstance(one, Text)]
        if others:
            reading.note(f"{part.path}.content", "images and PDFs moved to a message behind the results")
            moved += [Text(f"Of the result of {part.call}:"), *others]
        content = _content(texts) if texts else _FAILED if part.failed and not others else ""
        messages.append({"role": "tool", "tool_call_id": for_chat(part.call, reading), "content": content})
    if moved or rest:
        messages.append({"role": "user", "content": _content([*moved, *rest])})
    return messages


def _content(parts: Iterable[Part]) -> str | list[dict[str, Any]]:
    """A string where it is one text, else parts."""
    shown = [part for part in parts if not isinstance(part, Thinking)]
    if len(shown) == 1 and isinstance(shown[0], Text):
        return shown[0].text
    return [_part(part) for part in shown]


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if isinstance(part, Image):
        image = {"url": part.url or f"data:{part.media_type};base64,{part.data}"}
        if part.detail in ("auto", "low", "high"):
            image["detail"] = part.detail
        return {"type": "image_url", "image_url": image}
    if isinstance(part, File):
        data = f"data:application/pdf;base64,{part.data}"
        return {"type": "file", "file": {"file_data": data, "filename": part.name or "document.pdf"}}
    raise TypeError(type(part).__name__)


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.schema is not None:
        function["parameters"] = tool.schema
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _add_choice(body: dict[str, Any], request: CommonRequest) -> None:
    choice = request.tool_choice
    if choice is not None:
        named = {"type": "function", "function": {"name": choice.name}}
        body["tool_choice"] = named if choice.mode is Choosing.NAMED else choice.mode.value
    if request.parallel_calls is not None:
        body["parallel_tool_calls"] = request.parallel_calls


def _answer(answer: JsonAnswer | None) -> dict[str, Any] | None:
    if answer is None:
        return None
    if answer.schema is None:
        return {"type": "json_object"}
    form: dict[str, Any] = {"name": answer.name, "schema": answer.schema}
    if answer.description is not None:
        form["description"] = answer.description
    if answer.strict is not None:
        form["strict"] = answer.strict
    return {"type": "json_schema", "json_schema": form}


def _effort(reasoning: Reasoning | None, facts: ModelFacts, reading: Reading) -> str | None:
    if reasoning is None:
        return None
    if not facts.reasoning:
        if reasoning.effort != "none":
            reading.note("reasoning", "dropped: the model's capabilities do not name it")
        return None
    if reasoning.effort is not None:
        return reasoning.effort
    budget = reasoning.budget_tokens or 0
    return next((word for most, word in _EFFORT_BY_BUDGET if budget <= most), "high")


def _user(user: str | None, reading: Reading) -> str | None:
    if user is not None and len(user) > _LONGEST_USER:
        reading.note("user", f"dropped: longer than {_LONGEST_USER} characters")
        return None
    return user
