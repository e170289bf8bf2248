"""What changes in a request body: the model name, and asking streams for their token usage."""

from pilotage_api.snapshot import Engine, StreamUsage
from pilotage_extproc.dialects.splice import (
    MODEL,
    STREAM_OPTIONS,
    Edit,
    check_single,
    edited,
    members_added,
    string_set,
    value_start,
)
from pilotage_extproc.request.call import Call
from pilotage_extproc.stages.parse import STREAM_USAGE_KINDS, ParsedBody

CONTINUOUS_USAGE_ENGINES = frozenset({Engine.VLLM, Engine.SGLANG})
"""Engines that can put usage in every chunk, so that a cut stream's usage is known too.

vLLM: https://github.com/vllm-project/vllm/pull/5742; SGLang, since October 2025 and ignored before:
https://github.com/sgl-project/sglang/pull/12241.
"""


def rewritten(
    body: bytes,
    call: Call,
    parsed: ParsedBody,
    *,
    upstream_model: str,
    engine: Engine,
    stream_usage: StreamUsage,
) -> bytes | None:
    """The body as the first target gets it, or None where nothing changes.

    Raises RequestRefused (400) where `model`, or `stream_options` if that is to change, stands more
    than once.
    """
    edits: list[Edit] = []
    if upstream_model == parsed.model:
        check_single(body, MODEL)
    else:
        edits.append(string_set(body, MODEL, upstream_model))
    if parsed.stream and stream_usage is StreamUsage.INJECT and call.kind in STREAM_USAGE_KINDS:
        edits += _usage_asked(body, parsed, engine)
    return edited(body, edits) if edits else None


def _usage_asked(body: bytes, parsed: ParsedBody, engine: Engine) -> list[Edit]:
    """Edits by which a stream carries its usage; none where the client has said what it wants.

    A client that sets `include_usage`, to true or false, is left alone: its usage is then as known
    as it chose.
    """
    options = parsed.stream_options
    if options is not None and (not isinstance(options, dict) or "include_usage" in options):
        return []
    asked = b'"include_usage":true'
    if engine in CONTINUOUS_USAGE_ENGINES and not (options and "continuous_usage_stats" in options):
        asked += b',"continuous_usage_stats":true'
    if not parsed.has_stream_options:
        return [members_added(body.index(b"{"), b'"stream_options":{%b}' % asked, alone=False)]
    start = value_start(body, STREAM_OPTIONS)
    if options is None:
        return [Edit(start, start + len(b"null"), b"{%b}" % asked)]
    return [members_added(start, asked, alone=not options)]
