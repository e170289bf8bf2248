"""The common form to a request of Anthropic messages."""

from typing import Any

import orjson

from pilotage_extproc.dialects.translation.call_ids import for_messages
from pilotage_extproc.dialects.translation.common import (
    CacheMark,
    Choosing,
    CommonRequest,
    File,
    Image,
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
from pilotage_extproc.dialects.translation.signatures import may_be_anthropics
from pilotage_extproc.dialects.translation.tool_names import ANTHROPIC_CALLED, ANTHROPIC_NAME, check_names
from pilotage_extproc.domain.refusals import Refusal, RequestRefused

_CHOICES = {
    Choosing.AUTO: "auto",
    Choosing.NONE: "none",
    Choosing.REQUIRED: "any",
    Choosing.NAMED: "tool",
}
_JPEG = "image/jpeg"
_IMAGES = frozenset({_JPEG, "image/png", "image/gif", "image/webp"})


def encode_messages(request: CommonRequest, facts: ModelFacts, reading: Reading) -> dict[str, Any]:
    """The body. Raises RequestRefused (400) for what messages cannot say."""
    check_names(request, ANTHROPIC_NAME, ANTHROPIC_CALLED)
    body: dict[str, Any] = {"model": facts.model, "max_tokens": _max_tokens(request, facts, reading)}
    system, messages = _conversation(request.turns, reading)
    if system:
        body["system"] = system
    body["messages"] = messages
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        choice = _choice(request)
        if choice is not None:
            body["tool_choice"] = choice
    elif request.tool_choice is not None:
        reading.note("tool_choice", "dropped: there are no tools")
    temperature = request.temperature
    if temperature is not None and temperature > 1:
        temperature = 1
        reading.note("temperature", "lowered to 1")
    settings = {
        "temperature": temperature,
        "top_p": request.top_p,
        "top_k": request.top_k,
        "stop_sequences": _stops(request.stop),
        "output_config": _output(request, facts, reading) or None,
        "thinking": {"type": "disabled"} if _wants_no_thinking(request.reasoning, facts) else None,
        "metadata": {"user_id": request.user} if request.user else None,
    }
    body |= {name: value for name, value in settings.items() if value is not None}
    if request.verbosity not in (None, "medium"):
        reading.note("text.verbosity", "dropped")
    if request.stream:
        body["stream"] = True
    return body


def _max_tokens(request: CommonRequest, facts: ModelFacts, reading: Reading) -> int:
    """Required there: the request's, else the most that the model makes."""
    asked, most = request.max_tokens, facts.max_output_tokens
    if asked is None:
        if most is None:
            raise untranslatable(
                "max_tokens", "it is required there, and the model's `maxOutputTokens` is not set"
            )
        return most
    if most is not None and asked > most:
        reading.note("max_tokens", f"lowered to {most}, the model's most")
        return most
    return asked


def _stops(stops: tuple[str, ...]) -> list[str] | None:
    if any(not stop.strip() for stop in stops):
        raise untranslatable("stop", "each must have a character that is not blank there")
    return list(stops) or None


def _conversation(
    turns: list[Turn], reading: Reading
) -> tuple[str | list[dict[str, Any]], list[dict[str, Any]]]:
    """The system prompt and the messages: of each role's neighbours one, results of tools first."""
    system: list[Part] = []
    merged: list[tuple[Role, list[Part]]] = []
    for turn in turns:
        parts = _taken(turn, reading)
        if not parts:
            continue
        if turn.role is Role.SYSTEM:
            if merged:
                reading.note(turn.path, "moved to the system prompt")
            system += parts
        elif merged and merged[-1][0] is turn.role:
            merged[-1][1].extend(parts)
        else:
            merged.append((turn.role, parts))
    if not merged:
        message = "There is no message beside the system prompt."
        raise RequestRefused(Refusal.MISSING_PROMPT, message, param="messages")
    messages = [{"role": role.value, "content": _content(parts, reading)} for role, parts in merged]
    if len(system) == 1 and isinstance(system[0], Text) and system[0].cache is None:
        return system[0].text, messages
    return [_part(part, reading) for part in system], messages


def _taken(turn: Turn, reading: Reading) -> list[Part]:
    """Its parts without those that are refused there: blank text, thinking without a signature."""
    parts: list[Part] = []
    for part in turn.parts:
        if _is_blank(part):
            reading.note(turn.path, "blank text left out")
        elif isinstance(part, Thinking) and part.redacted is None and not may_be_anthropics(part.signature):
            reading.note(turn.path, "thinking without a signature left out")
        else:
            parts.append(part)
    return parts


def _is_blank(part: Part) -> bool:
    return isinstance(part, Text) and not part.text.strip()


def _content(parts: list[Part], reading: Reading) -> str | list[dict[str, Any]]:
    if len(parts) == 1 and isinstance(parts[0], Text) and parts[0].cache is None:
        return parts[0].text
    results = [part for part in parts if isinstance(part, ToolResult)]
    others = [part for part in parts if not isinstance(part, ToolResult)]
    return [_part(part, reading) for part in (*results, *others)]


def _part(part: Part, reading: Reading) -> dict[str, Any]:
    if isinstance(part, Text):
        return _marked({"type": "text", "text": part.text}, part.cache)
    if isinstance(part, Image | File):
        return _image(part) if isinstance(part, Image) else _pdf(part)
    if isinstance(part, Thinking):
        return _thinking(part)
    if isinstance(part, ToolCall):
        # as the client wrote it: key order and numbers stay
        given = orjson.Fragment(part.arguments)
        call = for_messages(part.id, reading)
        return {"type": "tool_use", "id": call, "name": part.name, "input": given}
    return _result(part, reading)


def _image(part: Image) -> dict[str, Any]:
    if part.url is not None:
        return _marked({"type": "image", "source": {"type": "url", "url": part.url}}, part.cache)
    media_type = _JPEG if part.media_type == "image/jpg" else part.media_type
    if media_type not in _IMAGES:
        raise untranslatable(part.path, "images are JPEG, PNG, GIF or WebP there")
    source = {"type": "base64", "media_type": media_type, "data": part.data}
    return _marked({"type": "image", "source": source}, part.cache)


def _pdf(part: File) -> dict[str, Any]:
    pdf = {"type": "base64", "media_type": "application/pdf", "data": part.data}
    block: dict[str, Any] = {"type": "document", "source": pdf}
    if part.name:
        block["title"] = part.name
    return _marked(block, part.cache)


def _thinking(part: Thinking) -> dict[str, Any]:
    if part.redacted is not None:
        return {"type": "redacted_thinking", "data": part.redacted}
    return {"type": "thinking", "thinking": part.text, "signature": part.signature}


def _result(part: ToolResult, reading: Reading) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": for_messages(part.call, reading)}
    if len(part.parts) == 1 and isinstance(part.parts[0], Text):
        block["content"] = part.parts[0].text
    elif part.parts:
        block["content"] = [_part(one, reading) for one in part.parts if not _is_blank(one)]
    if part.failed:
        block["is_error"] = True
    return _marked(block, part.cache)


def _marked(block: dict[str, Any], cache: CacheMark | None) -> dict[str, Any]:
    if cache is not None:
        block["cache_control"] = cache
    return block


def _tool(tool: Tool) -> dict[str, Any]:
    block: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        block["description"] = tool.description
    schema = tool.schema or {}
    block["input_schema"] = schema if schema.get("type") == "object" else {"type": "object", **schema}
    if tool.strict is not None:
        block["strict"] = tool.strict
    return _marked(block, tool.cache)


def _choice(request: CommonRequest) -> dict[str, Any] | None:
    choice, parallel = request.tool_choice, request.parallel_calls
    if choice is None and parallel is None:
        return None
    mode = Choosing.AUTO if choice is None else choice.mode
    said: dict[str, Any] = {"type": _CHOICES[mode]}
    if choice is not None and mode is Choosing.NAMED:
        said["name"] = choice.name
    if parallel is False and mode is not Choosing.NONE:
        said["disable_parallel_tool_use"] = True
    return said


def _output(request: CommonRequest, facts: ModelFacts, reading: Reading) -> dict[str, Any]:
    output: dict[str, Any] = {}
    answer = request.answer
    if answer is not None:
        if answer.schema is None:
            raise untranslatable("response_format.type", "it knows no json_object; give a json_schema")
        output["format"] = {"type": "json_schema", "schema": answer.schema}
    effort = request.reasoning.effort if request.reasoning else None
    if effort is not None and effort != "none":
        if facts.reasoning:
            output["effort"] = "low" if effort == "minimal" else effort
        else:
            reading.note("reasoning", "dropped: the model's capabilities do not name it")
    return output


def _wants_no_thinking(reasoning: Reasoning | None, facts: ModelFacts) -> bool:
    return facts.reasoning and reasoning is not None and reasoning.effort == "none"
