"""What providers and own servers say in each API: a plain text, or a text and two calls of tools."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from provider_answers import (
    CHAT,
    CHAT_STREAM,
    DONE,
    MESSAGE,
    MESSAGE_STREAM,
    TEXT,
    chat_chunk,
    message_end,
    message_event,
    message_start,
)
from provider_stub import sse

_PIECES: Final = (TEXT[:5], TEXT[5:9], TEXT[9:])
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
_RESPONSE: Final[dict[str, Any]] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "metadata": {},
    "model": "gpt-x",
    "output": [],
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


class Spoken(NamedTuple):
    """One answer in each API, by the last part of its path."""

    whole: Mapping[str, dict[str, Any]]
    stream: Mapping[str, bytes]


def _plain_chat() -> dict[str, Any]:
    message = {"role": "assistant", "content": TEXT, "refusal": None}
    return {
        **CHAT,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
    }


def _plain_chat_stream() -> bytes:
    said = b"".join(chat_chunk({"content": piece}) for piece in _PIECES)
    end = chat_chunk({}, "stop") + chat_chunk(None, usage=CHAT["usage"]) + DONE
    return chat_chunk({"role": "assistant", "content": ""}) + said + end


def _plain_message_stream() -> bytes:
    events = [message_event("content_block_start", index=0, content_block={"type": "text", "text": ""})]
    for piece in _PIECES:
        delta = {"type": "text_delta", "text": piece}
        events.append(message_event("content_block_delta", index=0, delta=delta))
    begun = message_start(cache_read_input_tokens=7, cache_creation_input_tokens=5)
    return b"".join([begun, *events, message_event("content_block_stop", index=0), message_end("end_turn")])


def _response_stream(response: dict[str, Any]) -> bytes:
    begun = {**response, "status": "in_progress", "output": [], "usage": None}
    events: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
    for index, item in enumerate(response["output"]):
        first = {**item, "content": []} if item["type"] == "message" else item
        events.append({"type": "response.output_item.added", "output_index": index, "item": first})
        if item["type"] == "message":
            events += _text_events({"output_index": index, "item_id": item["id"], "content_index": 0})
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    events.append({"type": "response.completed", "response": response})
    return b"".join(
        f"event: {event['type']}\n".encode() + sse({**event, "sequence_number": number})
        for number, event in enumerate(events)
    )


def _text_events(at: dict[str, Any]) -> list[dict[str, Any]]:
    part = {"type": "output_text", "text": "", "annotations": []}
    deltas = [{"type": "response.output_text.delta", **at, "delta": one, "logprobs": []} for one in _PIECES]
    return [
        {"type": "response.content_part.added", **at, "part": part},
        *deltas,
        {"type": "response.output_text.done", **at, "text": TEXT, "logprobs": []},
        {"type": "response.content_part.done", **at, "part": {**part, "text": TEXT}},
    ]


def _spoken(chat: tuple[Any, bytes], message: tuple[Any, bytes], output: list[dict[str, Any]]) -> Spoken:
    response = {**_RESPONSE, "output": output}
    return Spoken(
        {"completions": chat[0], "messages": message[0], "responses": response},
        {"completions": chat[1], "messages": message[1], "responses": _response_stream(response)},
    )


PLAIN: Final = _spoken(
    (_plain_chat(), _plain_chat_stream()),
    (
        {**MESSAGE, "content": [{"type": "text", "text": TEXT}], "stop_reason": "end_turn"},
        _plain_message_stream(),
    ),
    [_MADE],
)
TOOLS: Final = _spoken((CHAT, CHAT_STREAM), (MESSAGE, MESSAGE_STREAM), [_THOUGHT, _MADE, *_CALLS])
"""It thinks first."""
