"""Answers in the shapes vLLM 0.32 gives them."""

import time
import uuid
from typing import Any


def new_id(prefix: str) -> str:
    """An id such as `chatcmpl-8f8cacae9c6590e0`."""
    return f"{prefix}{uuid.uuid4().hex[:16]}"


def usage(prompt: int, completion: int, cached: int | None = None) -> dict[str, Any]:
    """OpenAI's usage."""
    values: dict[str, Any] = {
        "prompt_tokens": prompt,
        "total_tokens": prompt + completion,
        "completion_tokens": completion,
    }
    if cached is not None:
        values["prompt_tokens_details"] = {"cached_tokens": cached}
    return values


def chat(id_: str, model: str, text: str, tokens: dict[str, Any]) -> dict[str, Any]:
    """An unstreamed chat answer."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": text,
        "refusal": None,
        "tool_calls": [],
        "reasoning": None,
    }
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": "length",
        "stop_reason": None,
    }
    return _answer(id_, "chat.completion", model, [choice], tokens)


def completion(id_: str, model: str, text: str, tokens: dict[str, Any]) -> dict[str, Any]:
    """An unstreamed completion."""
    choice = {
        "index": 0,
        "text": text,
        "logprobs": None,
        "finish_reason": "length",
        "stop_reason": None,
        "token_ids": None,
        "prompt_logprobs": None,
        "prompt_token_ids": None,
        "routed_experts": None,
    }
    return _answer(id_, "text_completion", model, [choice], tokens)


def _answer(id_: str, kind: str, model: str, choices: list[Any], tokens: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": id_,
        "object": kind,
        "created": int(time.time()),
        "model": model,
        "choices": choices,
        "service_tier": None,
        "system_fingerprint": "pilotage-sim",
        "usage": {"prompt_tokens_details": None, "completion_tokens_details": None, **tokens},
        "kv_transfer_params": None,
        "ec_transfer_params": None,
        "metrics": None,
    }


def chat_chunk(id_: str, model: str, text: str | None, finish: str | None) -> dict[str, Any]:
    """A chunk of a chat stream; without text it is the first."""
    delta = {"role": "assistant", "content": ""} if text is None else {"content": text}
    choice: dict[str, Any] = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    chunk = _chunk(id_, "chat.completion.chunk", model, [choice])
    if text is None:
        chunk |= {"prompt_token_ids": None, "prompt_text": None}
    else:
        choice["token_ids"] = None
        if finish is not None:
            choice["stop_reason"] = None
    return chunk


def completion_chunk(id_: str, model: str, text: str, finish: str | None) -> dict[str, Any]:
    """A chunk of a completions stream."""
    choice = {
        "index": 0,
        "text": text,
        "logprobs": None,
        "finish_reason": finish,
        "stop_reason": None,
        "prompt_token_ids": None,
        "token_ids": None,
    }
    return _chunk(id_, "text_completion", model, [choice])


def usage_chunk(id_: str, kind: str, model: str, tokens: dict[str, Any]) -> dict[str, Any]:
    """The last chunk, which has no choices."""
    return _chunk(id_, kind, model, []) | {"usage": tokens, "system_fingerprint": "pilotage-sim"}


def _chunk(id_: str, kind: str, model: str, choices: list[Any]) -> dict[str, Any]:
    return {"id": id_, "object": kind, "created": int(time.time()), "model": model, "choices": choices}


def response_text(text: str) -> dict[str, Any]:
    """A part of a Responses message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": None}


def response_message(id_: str, text: str | None) -> dict[str, Any]:
    """A message of a Responses object; without text it is in progress."""
    content = [] if text is None else [response_text(text)]
    status = "in_progress" if text is None else "completed"
    message = {"id": id_, "content": content, "role": "assistant", "status": status}
    return message | {"type": "message", "phase": None}


def response_object(
    id_: str,
    model: str,
    status: str,
    output: list[dict[str, Any]],
    tokens: dict[str, Any] | None,
    previous: str | None,
) -> dict[str, Any]:
    """A Responses object."""
    return {
        "id": id_,
        "created_at": int(time.time()),
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": None,
        "metadata": None,
        "model": model,
        "object": "response",
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "none",
        "tools": [],
        "top_p": 1.0,
        "background": False,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "previous_response_id": previous,
        "prompt": None,
        "reasoning": None,
        "service_tier": "auto",
        "status": status,
        "text": None,
        "top_logprobs": None,
        "truncation": "disabled",
        "usage": tokens,
        "user": None,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "kv_transfer_params": None,
        "ec_transfer_params": None,
        "input_messages": None,
        "output_messages": None,
    }


def response_usage(prompt: int, completion_: int, cached: int) -> dict[str, Any]:
    """Usage of a Responses object."""
    details = {"cached_tokens": cached, "cache_write_tokens": 0, "input_tokens_per_turn": []}
    return {
        "input_tokens": prompt,
        "input_tokens_details": details | {"cached_tokens_per_turn": []},
        "output_tokens": completion_,
        "output_tokens_details": {
            "reasoning_tokens": 0,
            "tool_output_tokens": 0,
            "output_tokens_per_turn": [],
            "tool_output_tokens_per_turn": [],
        },
        "total_tokens": prompt + completion_,
    }


def anthropic_usage(prompt: int, completion_: int) -> dict[str, Any]:
    """Usage of an Anthropic message."""
    return {"input_tokens": prompt, "output_tokens": completion_}


def anthropic_message(id_: str, model: str, text: str, tokens: dict[str, Any]) -> dict[str, Any]:
    """An unstreamed Anthropic message."""
    return {
        "id": id_,
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": text}],
        "model": model,
        "stop_reason": "max_tokens",
        "usage": tokens,
    }


def model_entry(name: str, parent: str | None, created: int, limit: int | None) -> dict[str, Any]:
    """One entry of `/v1/models`."""
    permission = {
        "id": new_id("modelperm-"),
        "object": "model_permission",
        "created": created,
        "allow_create_engine": False,
        "allow_sampling": True,
        "allow_logprobs": True,
        "allow_search_indices": False,
        "allow_view": True,
        "allow_fine_tuning": False,
        "organization": "*",
        "group": None,
        "is_blocking": False,
    }
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "vllm",
        "root": name,
        "parent": parent,
        "max_model_len": limit,
        "permission": [permission],
    }
