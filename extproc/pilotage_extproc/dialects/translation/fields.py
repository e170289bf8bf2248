"""What becomes of each field of a request when it is translated: carried, dropped with a note, or refused.

The decoders act by these tables, and docs/translation.md shows them. A member that is in none of them is
dropped with a note; a type of part, item or tool that is in none is refused.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

from pilotage_extproc.domain.head import CallKind


class Fate(StrEnum):
    """What becomes of a field."""

    CARRIED = "carried"
    DROPPED = "dropped"
    """Left out, with a note in the explanation."""
    REFUSED = "refused"
    """The request cannot go to such a provider: the next of its attempts follows, else 400."""


class Field(NamedTuple):
    """A field's fate."""

    fate: Fate
    remark: str = ""
    plain: tuple[Any, ...] = ()
    """Values that ask for nothing beyond the default, beside null: no note, no refusal."""


def _carried(remark: str = "") -> Field:
    return Field(Fate.CARRIED, remark)


def _dropped(remark: str = "", *plain: Any) -> Field:
    return Field(Fate.DROPPED, remark, plain)


def _refused(remark: str, *plain: Any) -> Field:
    return Field(Fate.REFUSED, remark, plain)


Members = Mapping[str, Field]
"""By name of the member."""
Places = Mapping[str, Members]
"""By place in the body; the empty one is the outermost object."""

_C: Final = _carried()
_HOSTED: Final = "hosted by the other provider"
_NO_PLACE: Final = "the provider's API has no place for it"
_CACHED: Final = "this provider caches prompts by itself"

_CHAT_TO_MESSAGES: Final[Places] = {
    "": {
        "model": _carried("the provider's name of the model"),
        "messages": _carried("`system` and `developer` messages become the system prompt"),
        "max_completion_tokens": _carried("as `max_tokens`; without one, the model's `maxOutputTokens`"),
        "max_tokens": _carried("the lower one where both stand"),
        "temperature": _carried("lowered to 1 with a note"),
        "top_p": _C,
        "top_k": _carried("not part of OpenAI's API; -1 and 0 ask for nothing"),
        "stop": _carried("as `stop_sequences`"),
        "stream": _C,
        "stream_options": _carried("`include_usage` decides over the last chunk of the answer"),
        "tools": _carried("functions; others are refused"),
        "tool_choice": _C,
        "parallel_tool_calls": _carried("as `disable_parallel_tool_use` of `tool_choice`"),
        "response_format": _carried("`json_schema` as `output_config.format`; `json_object` is refused"),
        "reasoning_effort": _carried("as `output_config.effort` of models that reason"),
        "user": _carried("as `metadata.user_id`"),
        "safety_identifier": _carried("as `metadata.user_id`"),
        "frequency_penalty": _dropped("", 0, 0.0),
        "presence_penalty": _dropped("", 0, 0.0),
        "logit_bias": _dropped("", {}),
        "metadata": _dropped("", {}),
        "moderation": _dropped(),
        "prediction": _dropped(),
        "prompt_cache_key": _dropped(),
        "prompt_cache_options": _dropped(),
        "prompt_cache_retention": _dropped(),
        "seed": _dropped(),
        "service_tier": _dropped("", "auto", "default"),
        "store": _dropped("", False),
        "verbosity": _dropped("", "medium"),
        "audio": _refused("answers are text"),
        "modalities": _refused("answers are text", ["text"]),
        "function_call": _refused("use `tool_choice`", "none", "auto"),
        "functions": _refused("use `tools`", []),
        "logprobs": _refused("not known of this provider", False),
        "top_logprobs": _refused("not known of this provider", 0),
        "n": _refused("one answer a request", 1),
        "web_search_options": _refused(_HOSTED),
    },
    "message": {
        "role": _C,
        "content": _carried("text, images, PDFs; empty text is left out"),
        "tool_calls": _carried("arguments must be a JSON object"),
        "tool_call_id": _C,
        "thinking_blocks": _carried("thinking with its signature, as answers give it"),
        "refusal": _carried("as text"),
        "cache_control": _C,
        "name": _dropped(),
        "reasoning_content": _dropped("unsigned; send `thinking_blocks`"),
        "reasoning": _dropped("unsigned; send `thinking_blocks`"),
        "annotations": _dropped("", []),
        "audio": _refused("prompts are text, images and PDFs"),
        "function_call": _refused("use `tool_calls`"),
    },
    "text": {"type": _C, "text": _C, "cache_control": _C, "prompt_cache_breakpoint": _dropped()},
    "refusal": {"type": _C, "refusal": _C},
    "image_url": {
        "type": _C,
        "image_url": _carried("`data:` and `http(s):` addresses; `detail` is dropped"),
        "cache_control": _C,
        "prompt_cache_breakpoint": _dropped(),
    },
    "file": {
        "type": _C,
        "file": _carried("a PDF as `file_data`; `file_id` is refused"),
        "cache_control": _C,
        "prompt_cache_breakpoint": _dropped(),
    },
    "tool": {"type": _C, "function": _C, "cache_control": _C},
    "function": {"name": _C, "description": _C, "parameters": _C, "strict": _C},
}

_MESSAGES_TO_CHAT: Final[Places] = {
    "": {
        "model": _carried("the provider's name of the model"),
        "messages": _C,
        "system": _carried("as the first message; attribution of Claude Code is dropped"),
        "max_tokens": _carried("as `max_completion_tokens`"),
        "temperature": _C,
        "top_p": _C,
        "top_k": _dropped("not known of OpenAI's API"),
        "stop_sequences": _carried("as `stop`; answers cannot say which one it was"),
        "stream": _carried("with usage in the last chunk"),
        "tools": _carried("tools of the client; others are refused"),
        "tool_choice": _carried("`disable_parallel_tool_use` as `parallel_tool_calls`"),
        "output_config": _carried(
            "`format` as `response_format`; `effort` as `reasoning_effort` of models that reason"
        ),
        "output_format": _carried("as `response_format`"),
        "thinking": _carried("as `reasoning_effort`, by its budget, of models that reason"),
        "metadata": _carried("`user_id` as `user`, up to 64 characters"),
        "cache_control": _dropped(_CACHED),
        "context_management": _dropped(),
        "diagnostics": _dropped(),
        "inference_geo": _dropped(),
        "service_tier": _dropped("", "auto"),
        "speed": _dropped("", "standard"),
        "user_profile_id": _dropped(),
        "workspace_id": _dropped(),
        "container": _refused(_HOSTED),
        "mcp_servers": _refused(_HOSTED, []),
    },
    "message": {"role": _C, "content": _C},
    "text": {
        "type": _C,
        "text": _C,
        "cache_control": _dropped(_CACHED),
        "citations": _dropped("", []),
    },
    "image": {
        "type": _C,
        "source": _carried("`base64` and `url`; `file` is refused"),
        "cache_control": _dropped(_CACHED),
        "transformations": _dropped("", {}),
    },
    "document": {
        "type": _C,
        "source": _carried("PDFs as a file, text as text; `url` and `file` are refused"),
        "title": _carried("as the file's name"),
        "cache_control": _dropped(_CACHED),
        "context": _dropped(),
        "citations": _dropped("", {"enabled": False}),
    },
    "thinking": {
        "type": _C,
        "thinking": _dropped(_NO_PLACE),
        "signature": _dropped(_NO_PLACE),
    },
    "redacted_thinking": {"type": _C, "data": _dropped(_NO_PLACE)},
    "tool_use": {
        "type": _C,
        "id": _C,
        "name": _C,
        "input": _carried("as JSON text"),
        "cache_control": _dropped(_CACHED),
        "caller": _dropped("", {"type": "direct"}),
    },
    "tool_result": {
        "type": _C,
        "tool_use_id": _C,
        "content": _carried("images and PDFs move to a message behind it, with a note"),
        "is_error": _dropped("the content says it too", False),
        "cache_control": _dropped(_CACHED),
        "toolset_name": _dropped(),
    },
    "tool": {
        "type": _carried("`custom`; tools of other types are refused"),
        "name": _C,
        "description": _C,
        "input_schema": _C,
        "strict": _C,
        "cache_control": _dropped(_CACHED),
        "allowed_callers": _dropped("", ["direct"]),
        "defer_loading": _dropped("", False),
        "eager_input_streaming": _dropped(),
        "input_examples": _dropped("", []),
    },
}

_RESPONSES: Final[Places] = {
    "": {
        "model": _carried("the provider's name of the model"),
        "input": _carried("text, or items of a stateless conversation"),
        "instructions": _carried("as the first system message"),
        "max_output_tokens": _C,
        "temperature": _C,
        "top_p": _C,
        "stream": _C,
        "tools": _carried("functions; others are refused"),
        "tool_choice": _C,
        "parallel_tool_calls": _C,
        "text": _carried("`format`, `verbosity`"),
        "reasoning": _carried("`effort` of models that reason; the rest is dropped"),
        "user": _C,
        "safety_identifier": _carried("as `user`"),
        "store": _refused("nothing is stored here; send `store: false`", False),
        "background": _refused("nothing is stored here", False),
        "previous_response_id": _refused("nothing is stored here; send the whole conversation"),
        "conversation": _refused("nothing is stored here; send the whole conversation"),
        "prompt": _refused(_HOSTED),
        "context_management": _dropped("", []),
        "include": _dropped("", []),
        "max_tool_calls": _dropped("counts hosted tools alone"),
        "metadata": _dropped("", {}),
        "moderation": _dropped(),
        "prompt_cache_key": _dropped(),
        "prompt_cache_options": _dropped(),
        "prompt_cache_retention": _dropped(),
        "service_tier": _dropped("", "auto", "default"),
        "stream_options": _dropped("pads the events of a stream", {}),
        "top_logprobs": _refused("not carried in answers", 0),
        "truncation": _dropped("", "disabled"),
    },
    "message": {
        "type": _C,
        "role": _C,
        "content": _C,
        "id": _dropped("an answer's own", ...),
        "status": _dropped("an answer's own", ...),
        "phase": _dropped(),
    },
    "function_call": {
        "type": _C,
        "call_id": _C,
        "name": _C,
        "arguments": _C,
        "id": _dropped("an answer's own", ...),
        "status": _dropped("an answer's own", ...),
        "caller": _dropped("", {"type": "direct"}),
        "namespace": _dropped(),
    },
    "function_call_output": {
        "type": _C,
        "call_id": _C,
        "output": _carried("text, images, PDFs"),
        "id": _dropped("an answer's own", ...),
        "status": _dropped("an answer's own", ...),
        "caller": _dropped("", {"type": "direct"}),
        "name": _dropped(),
        "namespace": _dropped(),
    },
    "reasoning": {
        "type": _C,
        "id": _dropped("an answer's own", ...),
        "status": _dropped("an answer's own", ...),
        "summary": _dropped(_NO_PLACE, []),
        "content": _dropped(_NO_PLACE, []),
        "encrypted_content": _dropped("only the provider that made it can read it"),
    },
    "input_text": {"type": _C, "text": _C, "prompt_cache_breakpoint": _dropped()},
    "output_text": {"type": _C, "text": _C, "annotations": _dropped("", []), "logprobs": _dropped("", [])},
    "refusal": {"type": _C, "refusal": _C},
    "input_image": {
        "type": _C,
        "image_url": _C,
        "detail": _C,
        "file_id": _refused(_HOSTED),
        "prompt_cache_breakpoint": _dropped(),
    },
    "input_file": {
        "type": _C,
        "file_data": _C,
        "filename": _C,
        "file_id": _refused(_HOSTED),
        "file_url": _refused("send its bytes as `file_data`"),
        "detail": _dropped(),
        "prompt_cache_breakpoint": _dropped(),
    },
    "tool": {
        "type": _C,
        "name": _C,
        "description": _C,
        "parameters": _C,
        "strict": _C,
        "defer_loading": _dropped("", False),
        "allowed_callers": _dropped("", ["direct"]),
        "output_schema": _dropped(),
    },
}

FIELDS: Final[Mapping[tuple[CallKind, CallKind], Places]] = {
    (CallKind.CHAT, CallKind.MESSAGES): _CHAT_TO_MESSAGES,
    (CallKind.MESSAGES, CallKind.CHAT): _MESSAGES_TO_CHAT,
    (CallKind.RESPONSES, CallKind.CHAT): _RESPONSES,
    (CallKind.RESPONSES, CallKind.MESSAGES): {
        **_RESPONSES,
        "": {
            **_RESPONSES[""],
            "temperature": _carried("lowered to 1 with a note"),
            "user": _carried("as `metadata.user_id`"),
            "safety_identifier": _carried("as `metadata.user_id`"),
            "text": _carried("`format`; `verbosity` is dropped, `json_object` refused"),
        },
    },
}
"""By the client's call and the provider's."""
