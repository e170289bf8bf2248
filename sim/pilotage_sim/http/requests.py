"""Requests as vLLM reads them: prompt text, limits, streaming; its errors where they are wrong."""

from dataclasses import dataclass
from typing import Any

import orjson


class BadRequest(Exception):
    """An error in vLLM's shape."""

    def __init__(
        self,
        status: int,
        message: str,
        kind: str,
        param: str | None,
        *,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {} if retry_after_seconds is None else {"retry-after": str(retry_after_seconds)}
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": status}}
        self.anthropic = {"type": "error", "error": {"type": kind, "message": message}}
        """The same on Anthropic's paths."""


Members = dict[str, Any]
"""A parsed body, or an answer."""


def missing(field: str) -> BadRequest:
    """What vLLM says of a body without a field it needs."""
    message = f"1 validation error:\n  {{'type': 'missing', 'loc': 'body.{field}'}}"
    return BadRequest(400, message, "Bad Request", f"body.{field}")


@dataclass(slots=True, frozen=True)
class GenerationRequest:
    """What the engine needs, and how the client wants its answer."""

    model: str
    prompt: bytes
    max_tokens: int | None
    stream: bool
    include_usage: bool
    continuous_usage: bool


def parse(raw: bytes) -> dict[str, Any]:
    """The body. Raises BadRequest."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadRequest(400, f"JSON decode error: {error.msg}", "Bad Request", None) from None
    if not isinstance(body, dict):
        raise BadRequest(400, "Input should be a valid dictionary", "Bad Request", "body")
    return body


def generation(body: dict[str, Any], prompt_field: str) -> GenerationRequest:
    """A chat, completions, responses or messages request. Raises BadRequest."""
    prompt = body.get(prompt_field)
    if prompt_field == "messages" and not isinstance(prompt, list):
        message = (
            "1 validation error:\n  {'type': 'list_type', 'loc': 'body.messages', "
            "'msg': 'Input should be a valid list'}"
        )
        raise BadRequest(400, message, "Bad Request", "body.messages")
    if prompt is None:
        raise missing(prompt_field)
    limit = body.get("max_completion_tokens", body.get("max_output_tokens", body.get("max_tokens")))
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise BadRequest(400, f"max_tokens must be at least 1, got {limit}.", "Bad Request", "max_tokens")
    options = body.get("stream_options") or {}
    if not isinstance(options, dict):
        message = (
            "1 validation error:\n  {'type': 'model_attributes_type', 'loc': 'body.stream_options', "
            "'msg': 'Input should be a valid dictionary or object to extract fields from'}"
        )
        raise BadRequest(400, message, "Bad Request", "body.stream_options")
    return GenerationRequest(
        model=str(body.get("model", "")),
        prompt=render(prompt, body.get("tools"), body.get("system"), body.get("instructions")),
        max_tokens=limit,
        stream=bool(body.get("stream")),
        include_usage=bool(options.get("include_usage")),
        continuous_usage=bool(options.get("continuous_usage_stats")),
    )


def prompt_tokens(body: Members) -> bytes:
    """The text whose tokens count: a prompt, or a chat as its template renders it. Raises BadRequest."""
    prompt = body.get("prompt", body.get("messages"))
    if prompt is None:
        raise missing("prompt")
    if isinstance(prompt, str):
        return prompt.encode()
    return render(prompt, body.get("tools"), body.get("system"))


def text_of(value: Any) -> str:
    """A text as it is; what is not one (a document with parts) as JSON."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def render(prompt: Any, *preamble: Any) -> bytes:
    """The prompt's text, as a chat template would render it.

    A turn's text is a prefix of the next turn's: that is what makes caches useful.
    """
    parts = [item if isinstance(item, str) else orjson.dumps(item).decode() for item in preamble if item]
    if isinstance(prompt, str):
        return ("\n".join([*parts, prompt])).encode()
    for message in prompt if isinstance(prompt, list) else [prompt]:
        if isinstance(message, dict):
            content = message.get("content")
            text = content if isinstance(content, str) else orjson.dumps(content).decode()
            parts.append(f"{message.get('role', 'user')}: {text}")
        else:
            parts.append(message if isinstance(message, str) else str(message))
    return ("\n".join(parts) + "\nassistant: ").encode()
