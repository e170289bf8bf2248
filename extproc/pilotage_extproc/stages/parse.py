"""What the pipeline reads of a request body; the rest is the model server's business."""

from collections.abc import Iterator
from typing import Final

import orjson

from pilotage_extproc.dialects.call import MAX_MODEL_LENGTH, BodyForm, Dialect, checked_model
from pilotage_extproc.dialects.document import Document
from pilotage_extproc.dialects.forms import read_form
from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.stages.body_structure import structure_checked

__all__ = ["MAX_MODEL_LENGTH", "parse_body", "read_body", "structure_steps"]


def parse_body(kind: CallKind, body: bytes, *, max_structure: int, content_type: str = "") -> Document:
    """Check and parse a body. Raises RequestRefused (400) that names the field and the fix.

    `content_type` is the header's value: it says how a form is to be read.
    """
    if len(body) > max_structure:  # a shorter one cannot have so much
        for _ in structure_steps(kind, body, max_structure):
            pass
    return read_body(kind, body, content_type)


def structure_steps(kind: CallKind, body: bytes, max_structure: int) -> Iterator[None]:
    """Check what parsing would cost, with a pause after each block. Raises RequestRefused (400)."""
    if DIALECTS[kind].body is BodyForm.JSON:
        yield from structure_checked(body, max_structure)


def read_body(kind: CallKind, body: bytes, content_type: str = "") -> Document:
    """Parse a body whose structure has been checked. Raises RequestRefused (400)."""
    dialect = DIALECTS[kind]
    if dialect.body is BodyForm.MULTIPART:
        return _read_form(dialect, body, content_type)
    return _read_json(dialect, body)


def _read_form(dialect: Dialect, body: bytes, content_type: str) -> Document:
    form = read_form(body, content_type)
    members = {name: text for name in form.fields if (text := form.text(body, name)) is not None}
    if "model" in form.fields and "model" not in members:
        message = f"`model` must be text of at most {MAX_MODEL_LENGTH} characters, not a file."
        raise RequestRefused(Refusal.INVALID_FIELD, message, param="model")
    dialect.check(members)
    stream = members.get("stream", "").strip().lower() in _TRUE
    return Document(checked_model(dialect, members.get("model")), stream, members, form=form)


_TRUE: Final = frozenset({"true", "1", "on", "yes", "t", "y"})
"""As model servers' parsers (pydantic's) read a form's text."""


def _read_json(dialect: Dialect, body: bytes) -> Document:
    try:
        members = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestRefused(Refusal.BAD_JSON, _json_message(body, error)) from None
    if not isinstance(members, dict):
        raise RequestRefused(Refusal.BAD_JSON, "The request body must be a JSON object.")
    model = checked_model(dialect, members.get("model"))
    stream = members.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise RequestRefused(Refusal.INVALID_FIELD, "`stream` must be true or false.", param="stream")
    dialect.check(members)
    return Document(
        model,
        bool(stream),
        members,
        members.get("stream_options"),
        "stream_options" in members,
        members.get("previous_response_id") if dialect.stored else None,
    )


def _json_message(body: bytes, error: orjson.JSONDecodeError) -> str:
    """Where the body stops being JSON, without quoting any of it."""
    if not body:
        return "The request body is empty; it must be a JSON object."
    reason = error.msg.partition(":")[0]
    return f"The request body is not valid JSON: {reason} (line {error.lineno}, column {error.colno})."
