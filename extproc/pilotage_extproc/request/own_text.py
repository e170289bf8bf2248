"""Whether a body holds all text of its prompt, so that its bytes bound the prompt's tokens.

Told by what is known to hold nothing but its own text. Whatever is not known may stand for an image, a file,
a stored item or a template, and a new one comes with every release of a server.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pilotage_extproc.dialects.call import Dialect
from pilotage_extproc.dialects.looking import MOST_LOOKED_AT

_TEXT_PARTS: Final = frozenset(
    {
        "text",
        "input_text",
        "output_text",
        "summary_text",
        "refusal",
        "message",
        "tool_use",
        "tool_result",
        "function_call",
        "function_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
        "thinking",
        "redacted_thinking",
        "reasoning",
        "reasoning_text",
    }
)
"""Kinds of parts that hold their own text. Any other may stand for an image, a sound, a file."""
_OF_PARTS: Final = frozenset(
    [
        "annotations",
        "arguments",
        "cache_control",
        "call_id",
        "caller",
        "channel",
        "citations",
        "content",
        "data",
        "encrypted_content",
        "function_call",
        "id",
        "index",
        "input",
        "is_error",
        "logprobs",
        "name",
        "namespace",
        "output",
        "partial",
        "phase",
        "prefix",
        "prompt_cache_breakpoint",
        "reasoning",
        "reasoning_content",
        "reasoning_details",
        "recipient",
        "refusal",
        "role",
        "signature",
        "status",
        "summary",
        "text",
        "thinking",
        "thinking_blocks",
        "title",
        "tool_call_id",
        "tool_calls",
        "tool_name",
        "tool_use_id",
        "type",
        "weight",
    ]
)
"""Members of messages, items and parts that hold text of their own, or none."""
_CALLS: Final = frozenset(
    [
        "add_generation_prompt",
        "add_special_tokens",
        "allowed_token_ids",
        "bad_words",
        "best_of",
        "cache_control",
        "cache_salt",
        "chat_template_kwargs",
        "continue_final_message",
        "detokenize",
        "dimensions",
        "disable_parallel_tool_use",
        "documents",
        "echo",
        "encoding_format",
        "ebnf",
        "frequency_penalty",
        "function_call",
        "functions",
        "guided_choice",
        "guided_decoding_backend",
        "guided_grammar",
        "guided_json",
        "guided_regex",
        "guided_whitespace_pattern",
        "ignore_eos",
        "include",
        "include_reasoning",
        "include_stop_str_in_output",
        "input",
        "input_type",
        "instructions",
        "length_penalty",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_output_tokens",
        "max_tokens",
        "max_tool_calls",
        "messages",
        "metadata",
        "min_p",
        "min_tokens",
        "model",
        "moderation",
        "n",
        "no_stop_trim",
        "normalize",
        "options",
        "output_config",
        "output_format",
        "parallel_tool_calls",
        "presence_penalty",
        "priority",
        "prompt",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "prompt_logprobs",
        "reasoning",
        "reasoning_effort",
        "regex",
        "repetition_penalty",
        "request_id",
        "response_format",
        "return_documents",
        "return_token_ids",
        "return_tokens_as_token_ids",
        "rid",
        "safety_identifier",
        "seed",
        "separate_reasoning",
        "session_id",
        "skip_special_tokens",
        "softmax",
        "spaces_between_special_tokens",
        "stop",
        "stop_regex",
        "stop_sequences",
        "stop_token_ids",
        "store",
        "stream",
        "stream_options",
        "stream_reasoning",
        "structured_outputs",
        "suffix",
        "system",
        "temperature",
        "text",
        "text_1",
        "text_2",
        "thinking",
        "tool_choice",
        "top_k",
        "top_logprobs",
        "top_n",
        "top_p",
        "truncate",
        "truncate_prompt_tokens",
        "truncation",
        "truncation_side",
        "query",
        "queries",
        "use_activation",
        "use_beam_search",
        "user",
        "user_profile_id",
        "verbosity",
    ]
)
"""Members of calls that hold text of their own, or none; those that cost more than text are told apart."""
_READ: Final = (
    "messages",
    "input",
    "system",
    "prompt",
    "query",
    "queries",
    "documents",
    "text_1",
    "text_2",
)
_VARIABLES: Final = "chat_template_kwargs"
_KNOWN_VARIABLES: Final = frozenset(
    {
        "add_generation_prompt",
        "add_vision_id",
        "clear_thinking",
        "continue_final_message",
        "date_string",
        "enable_thinking",
        "force_reasoning",
        "model_identity",
        "preserve_thinking",
        "reasoning_effort",
        "thinking",
        "thinking_budget",
        "thinking_mode",
        "tools_in_user_message",
    }
)
"""Of chat templates, which write them once or not at all. Others may be a template, or what it repeats."""
_REASONING: Final = "reasoning"
_TEXT_OF_ITEMS: Final = ("role", "type")


def is_own_text(dialect: Dialect, members: Mapping[str, Any], elsewhere: frozenset[str]) -> bool:
    """Whether the body holds all of the prompt's text, and nothing else.

    `elsewhere` are further members that are judged by themselves.
    """
    if not members.keys() <= _CALLS | elsewhere:
        return False
    if any(members.get(name) is not None for name in dialect.stands_for_more):
        return False
    if not _is_plain(members.get(_VARIABLES)):
        return False
    if dialect.stored and not _are_written_out(members.get("input")):
        return False
    left = MOST_LOOKED_AT
    for name in _READ:
        value = members.get(name)
        if value is not None and not isinstance(value, str):
            left = _left_of_text(value, left)
            if left < 0:
                return False
    return True


def _is_plain(variables: Any) -> bool:
    """Whether variables of a chat template are known ones, without parts."""
    if not isinstance(variables, dict):
        return variables is None
    return variables.keys() <= _KNOWN_VARIABLES and not any(
        isinstance(value, dict | list) for value in variables.values()
    )


def _are_written_out(items: Any) -> bool:
    """Whether each item of a Responses call is there as a whole, and not by its id."""
    if not isinstance(items, list):
        return True
    for item in items[:MOST_LOOKED_AT]:
        if not isinstance(item, dict):
            continue
        if item.get("type") == _REASONING:
            written = item.get("encrypted_content") or item.get("content")
        else:
            written = any(item.get(name) is not None for name in _TEXT_OF_ITEMS)
        if not written and item.get("id") is not None:
            return False
    return True


def _left_of_text(value: Any, left: int) -> int:
    """What is left to look at behind messages that are nothing but text; less than 0 where they are not."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            kind = one.get("type")
            if kind is not None and (not isinstance(kind, str) or kind not in _TEXT_PARTS):
                return -1
            if not one.keys() <= _OF_PARTS:
                return -1
            inner = list(_nested(one))
        elif isinstance(one, list):
            inner = [part for part in one if isinstance(part, dict | list)]
        else:
            continue
        left -= len(inner) + 1
        if left < 0:
            return -1
        waiting += inner
    return left


def _nested(part: dict[str, Any]) -> Iterator[Any]:
    for name in ("content", "output"):
        inner = part.get(name)
        if isinstance(inner, list | dict):
            yield inner


def depth_of(value: Any) -> int:
    """Objects and lists within each other."""
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one if isinstance(one, list) else ())
            if isinstance(inner, dict | list)
        ]
    return depth
