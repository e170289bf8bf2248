"""What changes in a request body: the model name, and asking streams for their token usage."""

from typing import Any

from pilotage_api.snapshot import Engine, StreamUsage
from pilotage_extproc.pipeline.call import Call
from pilotage_extproc.pipeline.parse import STREAM_USAGE_KINDS, ParsedBody
from pilotage_extproc.pipeline.splice import set_members

_CONTINUOUS_USAGE_ENGINES = frozenset({Engine.VLLM})
"""Engines that can put usage in every chunk, so that a cut stream's usage is known too."""


def rewritten(
    body: bytes,
    call: Call,
    parsed: ParsedBody,
    *,
    upstream_model: str,
    engine: Engine,
    stream_usage: StreamUsage,
) -> bytes | None:
    """The body as the first target gets it, or None where nothing changes."""
    changes: dict[str, Any] = {}
    if upstream_model != parsed.model:
        changes["model"] = upstream_model
    if parsed.stream and stream_usage is StreamUsage.INJECT and call.kind in STREAM_USAGE_KINDS:
        options = asked_for_usage(parsed.members.get("stream_options"), engine)
        if options is not None:
            changes["stream_options"] = options
    return set_members(body, parsed.members, changes) if changes else None


def asked_for_usage(options: object, engine: Engine) -> dict[str, Any] | None:
    """`stream_options` that ask for usage, or None where they stay as they are.

    A client that says `include_usage` itself, true or false, is left alone: its usage is then as
    known as it chose.
    """
    if options is None:
        options = {}
    if not isinstance(options, dict) or "include_usage" in options:
        return None
    asked = {**options, "include_usage": True}
    if engine in _CONTINUOUS_USAGE_ENGINES:
        asked.setdefault("continuous_usage_stats", True)
    return asked
