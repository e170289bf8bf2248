"""What the pipeline reads of a request body; the rest is the model server's business."""

from typing import Any

import orjson

from pilotage_extproc.dialects.document import Document
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.stages.body_structure import check_structure

MAX_MODEL_LENGTH = 256
_PROMPT_FIELD = {
    CallKind.CHAT: "messages",
    CallKind.MESSAGES: "messages",
    CallKind.COMPLETIONS: "prompt",
    CallKind.EMBEDDINGS: "input",
    CallKind.RESPONSES: "input",
}
STREAM_USAGE_KINDS = frozenset({CallKind.CHAT, CallKind.COMPLETIONS})
"""Calls whose streams carry usage only if `stream_options` asks for it."""


def parse_body(kind: CallKind, body: bytes, *, max_structure: int) -> Document:
    """Check and parse a body. Raises RequestRefused (400) that names the field and the fix."""
    check_structure(body, max_structure)
    return read_body(kind, body)


def read_body(kind: CallKind, body: bytes) -> Document:
    """Parse a body whose structure has been checked. Raises RequestRefused (400)."""
    try:
        members = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestRefused(Refusal.BAD_JSON, _json_message(body, error)) from None
    if not isinstance(members, dict):
        raise RequestRefused(Refusal.BAD_JSON, "The request body must be a JSON object.")
    model = members.get("model")
    if not isinstance(model, str) or not model:
        raise RequestRefused(Refusal.MISSING_MODEL, "`model` must be a non-empty string.", param="model")
    if len(model) > MAX_MODEL_LENGTH:
        message = f"`model` is longer than {MAX_MODEL_LENGTH} characters."
        raise RequestRefused(Refusal.INVALID_FIELD, message, param="model")
    stream = members.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise RequestRefused(Refusal.INVALID_FIELD, "`stream` must be true or false.", param="stream")
    previous = None
    if kind is CallKind.RESPONSES:
        previous = members.get("previous_response_id")
        if previous is not None and not isinstance(previous, str):
            message = "`previous_response_id` must be a string."
            raise RequestRefused(Refusal.INVALID_FIELD, message, param="previous_response_id")
    _check_prompt(kind, members)
    return Document(
        model, bool(stream), members, members.get("stream_options"), "stream_options" in members, previous
    )


def _check_prompt(kind: CallKind, members: dict[str, Any]) -> None:
    field = _PROMPT_FIELD[kind]
    prompt = members.get(field)
    if field == "messages":
        if prompt is not None and not isinstance(prompt, list):
            raise RequestRefused(Refusal.INVALID_FIELD, "`messages` must be a list.", param=field)
        missing = not prompt
    elif kind is CallKind.COMPLETIONS:
        missing = prompt is None and members.get("prompt_embeds") is None
    elif kind is CallKind.RESPONSES:
        missing = prompt is None and members.get("prompt") is None
    else:
        missing = prompt is None and members.get("messages") is None
    if missing:
        raise RequestRefused(Refusal.MISSING_PROMPT, f"`{field}` is missing or empty.", param=field)


def _json_message(body: bytes, error: orjson.JSONDecodeError) -> str:
    """Where the body stops being JSON, without quoting any of it."""
    if not body:
        return "The request body is empty; it must be a JSON object."
    reason = error.msg.partition(":")[0]
    return f"The request body is not valid JSON: {reason} (line {error.lineno}, column {error.colno})."
