"""Answers of providers that say everything their APIs can, for tests of their translation.

Written after the models of the `openai` (2.54) and `anthropic` (2.14) SDKs, which check them here too.
"""

import json
from typing import Any, Final

ARGUMENTS: Final = '{"z": 1, "a": [1.50, null, "\\u00e9\\n"]}'
TEXT: Final = 'Grüße, "Ωmega" \\ 猫 🐈\nline\ttab\x7f'
MESSAGE: Final[dict[str, Any]] = {
    "id": "msg_01",
    "type": "message",
    "role": "assistant",
    "model": "claude-x",
    "content": [
        {"type": "thinking", "thinking": "Two tools.", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "cmVk"},
        {"type": "text", "text": TEXT},
        {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"q": [1, {"a": "}"}]}},
        {"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 10,
        "cache_read_input_tokens": 7,
        "cache_creation_input_tokens": 5,
        "output_tokens": 42,
        "output_tokens_details": {"thinking_tokens": 12},
    },
}
CHAT: Final[dict[str, Any]] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-x",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": TEXT,
                "refusal": None,
                "reasoning_content": "Two tools.",
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "look", "arguments": ARGUMENTS},
                    },
                    {"id": "call_2", "type": "function", "function": {"name": "now", "arguments": "{}"}},
                ],
            },
            "logprobs": None,
            "finish_reason": "tool_calls",
        }
    ],
    "usage": {
        "prompt_tokens": 22,
        "completion_tokens": 42,
        "total_tokens": 64,
        "prompt_tokens_details": {"cached_tokens": 7, "cache_write_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 12},
    },
}


def message_event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def _block(index: int, block: dict[str, Any], *deltas: dict[str, Any]) -> bytes:
    events = [message_event("content_block_start", index=index, content_block=block)]
    events += [message_event("content_block_delta", index=index, delta=delta) for delta in deltas]
    return b"".join([*events, message_event("content_block_stop", index=index)])


def message_start(**usage: Any) -> bytes:
    usage = {"input_tokens": 10, "output_tokens": 1, **usage}
    message = {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    return message_event("message_start", message=message)


def message_end(reason: str, **delta: Any) -> bytes:
    usage = {"output_tokens": 42, "output_tokens_details": {"thinking_tokens": 12}}
    delta = {"stop_reason": reason, "stop_sequence": None, **delta}
    return message_event("message_delta", delta=delta, usage=usage) + message_event("message_stop")


MESSAGE_STREAM: Final = (
    message_start(cache_read_input_tokens=7, cache_creation_input_tokens=5)
    + message_event("ping")
    + _block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "Two "},
        {"type": "thinking_delta", "thinking": "tools."},
        {"type": "signature_delta", "signature": "c2ln"},
    )
    + _block(1, {"type": "redacted_thinking", "data": "cmVk"})
    + _block(
        2,
        {"type": "text", "text": ""},
        *({"type": "text_delta", "text": piece} for piece in (TEXT[:5], TEXT[5:9], TEXT[9:])),
    )
    + message_event("ping")
    + _block(
        3,
        {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}},
        *(
            {"type": "input_json_delta", "partial_json": piece}
            for piece in ("", '{"q": [1', ', {"a"', ': "}"}]}')
        ),
    )
    + _block(4, {"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}})
    + message_end("tool_use")
)


def chat_chunk(delta: dict[str, Any] | None, finish: str | None = None, **more: Any) -> bytes:
    choices = (
        [] if delta is None else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    )
    chunk = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-x",
        "choices": choices,
        "usage": None,
        **more,
    }
    return f"data: {json.dumps(chunk)}\n\n".encode()


def call_delta(index: int, arguments: str, **first: Any) -> dict[str, Any]:
    function = {"arguments": arguments}
    call: dict[str, Any] = {"index": index, "function": function}
    if first:
        call |= {"id": first["id"], "type": "function"}
        function["name"] = first["name"]
    return {"tool_calls": [call]}


DONE: Final = b"data: [DONE]\n\n"
CHAT_STREAM: Final = (
    chat_chunk({"role": "assistant", "content": "", "refusal": None})
    + b": keep-alive\n\n"
    + chat_chunk({"reasoning_content": "Two "})
    + chat_chunk({"reasoning_content": "tools."})
    + b"".join(chat_chunk({"content": piece}) for piece in (TEXT[:5], TEXT[5:9], TEXT[9:]))
    + chat_chunk(call_delta(0, "", id="call_1", name="look"))
    + b"".join(chat_chunk(call_delta(0, piece)) for piece in (ARGUMENTS[:8], ARGUMENTS[8:]))
    + chat_chunk(call_delta(1, "", id="call_2", name="now"))
    + chat_chunk(call_delta(1, "{}"))
    + chat_chunk({}, "tool_calls")
    + chat_chunk(None, usage=CHAT["usage"])
    + DONE
)
