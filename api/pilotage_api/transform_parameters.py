"""Numbers that requests carry, and which calls have each."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple


class Api(StrEnum):
    """Calls that a policy may change."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    RESPONSES = "responses"
    MESSAGES = "messages"


API_PATHS: Final[Mapping[Api, str]] = MappingProxyType(
    {
        Api.CHAT: "/v1/chat/completions",
        Api.COMPLETIONS: "/v1/completions",
        Api.RESPONSES: "/v1/responses",
        Api.MESSAGES: "/v1/messages",
    }
)
WITH_SYSTEM_PROMPT: Final = frozenset({Api.CHAT, Api.RESPONSES, Api.MESSAGES})
_ALL: Final = frozenset(Api)
_SAMPLED: Final = frozenset({Api.CHAT, Api.COMPLETIONS})


class NumberFact(NamedTuple):
    """What is known of a parameter."""

    calls: frozenset[Api]
    """Those that have it; vLLM's own extensions included."""
    whole: bool = False
    """Whether it has no fraction."""
    member: str | None = None
    """Its name in requests, where that is another."""


OUTPUT_LIMIT: Final = "max_tokens"
"""Stands for whatever a call names the bound of its output."""
NUMBERS: Final[Mapping[str, NumberFact]] = MappingProxyType(
    {
        "temperature": NumberFact(_ALL),
        "top_p": NumberFact(_ALL),
        "top_k": NumberFact(_SAMPLED | {Api.MESSAGES}, whole=True),
        "min_p": NumberFact(_SAMPLED),
        "presence_penalty": NumberFact(_SAMPLED),
        "frequency_penalty": NumberFact(_SAMPLED),
        "repetition_penalty": NumberFact(_SAMPLED),
        # a key `n` is read as false by YAML 1.1
        "choices": NumberFact(_SAMPLED, whole=True, member="n"),
        "best_of": NumberFact(frozenset({Api.COMPLETIONS}), whole=True),
        "seed": NumberFact(_SAMPLED, whole=True),
        "top_logprobs": NumberFact(frozenset({Api.CHAT, Api.RESPONSES}), whole=True),
        "min_tokens": NumberFact(_SAMPLED, whole=True),
        "max_tool_calls": NumberFact(frozenset({Api.RESPONSES}), whole=True),
        OUTPUT_LIMIT: NumberFact(_ALL, whole=True),
    }
)
NEVER_REMOVED: Final = frozenset(
    {
        "model",
        "messages",
        "input",
        "prompt",
        "system",
        "instructions",
        "stream",
        "stream_options",
        "background",
        "previous_response_id",
        "conversation",
        "cache_salt",
        OUTPUT_LIMIT,
        "max_completion_tokens",
        "max_output_tokens",
    }
)
"""Members that requests are decided, answered or bounded by."""


def member_of(name: str) -> str:
    """What a request calls a parameter."""
    return NUMBERS[name].member or name
