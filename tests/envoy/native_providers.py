"""Providers over TLS that answer each call of their own API, and judge what they are asked."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final

from provider_answers import CHAT, CHAT_STREAM, MESSAGE, MESSAGE_STREAM, TEXT
from provider_stub import refused, sse
from pydantic import ValidationError
from scripted_server import Answer, Received, chunk, fixed, stream_head
from sdk_types import check_request

from pilotage_extproc.domain.head import CallKind

CALLS: Final[Mapping[str, tuple[str, ...]]] = {
    "openai": ("/v1/chat/completions", "/v1/responses"),
    "openai-chat": ("/v1/chat/completions",),
    "azure": ("/openai/deployments/up-azure/chat/completions", "/openai/responses"),
    "anthropic": ("/v1/messages",),
}
"""Paths that a provider of each API has."""
_MADE: Final[dict[str, Any]] = {
    "id": "msg_1",
    "type": "message",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_text", "text": TEXT, "annotations": []}],
}
_THOUGHT: Final[dict[str, Any]] = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "x"}
_CALLS: Final[list[dict[str, Any]]] = [
    {
        "id": f"fc_{name}",
        "type": "function_call",
        "status": "completed",
        "call_id": f"call_{name}",
        "name": name,
        "arguments": "{}",
    }
    for name in ("look", "now")
]
RESPONSE: Final[dict[str, Any]] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "metadata": {},
    "model": "gpt-x",
    "output": [_THOUGHT, _MADE, *_CALLS],
    "parallel_tool_calls": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "usage": {
        "input_tokens": 22,
        "input_tokens_details": {"cached_tokens": 7, "cache_write_tokens": 0},
        "output_tokens": 42,
        "output_tokens_details": {"reasoning_tokens": 12},
        "total_tokens": 64,
    },
}


def _response_stream() -> bytes:
    begun = {**RESPONSE, "status": "in_progress", "output": [], "usage": None}
    at = {"output_index": 1, "item_id": "msg_1", "content_index": 0}
    part = {"type": "output_text", "text": "", "annotations": []}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": _THOUGHT},
        {"type": "response.output_item.done", "output_index": 0, "item": _THOUGHT},
        {"type": "response.output_item.added", "output_index": 1, "item": {**_MADE, "content": []}},
        {"type": "response.content_part.added", **at, "part": part},
        {"type": "response.output_text.delta", **at, "delta": TEXT, "logprobs": []},
        {"type": "response.output_text.done", **at, "text": TEXT, "logprobs": []},
        {"type": "response.content_part.done", **at, "part": {**part, "text": TEXT}},
        {"type": "response.output_item.done", "output_index": 1, "item": _MADE},
    ]
    for index, call in enumerate(_CALLS, 2):
        events.append({"type": "response.output_item.added", "output_index": index, "item": call})
        events.append({"type": "response.output_item.done", "output_index": index, "item": call})
    events.append({"type": "response.completed", "response": RESPONSE})
    return b"".join(
        f"event: {event['type']}\n".encode() + sse({**event, "sequence_number": number})
        for number, event in enumerate(events)
    )


_WHOLE: Final = {"completions": CHAT, "messages": MESSAGE, "responses": RESPONSE}
_STREAM: Final = {
    "completions": CHAT_STREAM,
    "messages": MESSAGE_STREAM,
    "responses": _response_stream(),
}
_KINDS: Final = {"completions": CallKind.CHAT, "messages": CallKind.MESSAGES}


def native(dialect: str, translated: list[str]) -> Answer:
    """A provider's answer to whatever is asked; `translated` are paths that the gateway translates to it."""

    async def answer(request: Received, writer: asyncio.StreamWriter) -> None:
        path, asked = request.path.partition("?")[0], json.loads(request.body)
        call = path.rpartition("/")[2]
        wrong = _wrong(dialect, path, asked, check=path in translated)
        if wrong is not None:
            await refused(400, "invalid_request_error", wrong)(request, writer)
        elif asked.get("stream"):
            writer.write(stream_head())
            for event in _STREAM[call].split(b"\n\n")[:-1]:
                writer.write(chunk(event + b"\n\n"))
            writer.write(chunk(b""))
        else:
            await fixed(200, json.dumps(_WHOLE[call]).encode())(request, writer)

    return answer


def _wrong(dialect: str, path: str, asked: dict[str, Any], *, check: bool) -> str | None:
    """Why the provider refuses a request."""
    call = path.rpartition("/")[2]
    if path not in CALLS[dialect]:
        return f"no such path: {path}"
    if asked["model"] != f"up-{dialect}":
        return f"no such model: {asked['model']}"
    if check and call in _KINDS:
        try:
            check_request(_KINDS[call], asked)
        except (ValidationError, AssertionError) as error:
            return f"not as the SDK has it: {error}"
    if call == "messages" and not all(map(_signed, asked["messages"])):
        return "messages: thinking without a valid signature"
    return None


def _signed(message: dict[str, Any]) -> bool:
    content = message["content"]
    blocks = content if isinstance(content, list) else []
    return all(one.get("signature") == "c2ln" for one in blocks if one["type"] == "thinking")
