"""What stands where in answers and in the events of their streams, by API."""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

from pilotage_extproc.dialects.answers.leaves import Path
from pilotage_extproc.domain.head import CallKind


class Part(Enum):
    """What a value is."""

    TEXT = "text"
    """People read it: all of it, or a piece of a text that goes on in the next event."""
    ARGUMENTS = "arguments"
    """A piece of what a tool is called with; only in streams."""
    REPEATED = "repeated"
    """Says single tokens of the text again: goes."""
    ECHO = "echo"
    """What the client sent, said back: not looked at."""


_T, _A, _R, _E = Part.TEXT, Part.ARGUMENTS, Part.REPEATED, Part.ECHO
Parts = Mapping[Path, Part]


def _parts(prefix: str, parts: Mapping[str, Part]) -> dict[Path, Part]:
    return {tuple(f"{prefix}{path}".split(".")): part for path, part in parts.items()}


_SAID: Final = {
    "content": _T,
    "reasoning_content": _T,
    "reasoning": _T,
    "reasoning_details.*.text": _T,
    "reasoning_details.*.summary": _T,
    "thinking": _T,
    "refusal": _T,
    "content.*.text": _T,
    "content.*.thinking.*.text": _T,
}
"""Some say texts in lists of parts."""
_OUTPUT: Final = {
    "content.*.text": _T,
    "content.*.refusal": _T,
    "content.*.logprobs": _R,
    "summary.*.text": _T,
}
_OF_RESPONSE: Final = {
    **{f"output.*.{path}": part for path, part in _OUTPUT.items()},
    **dict.fromkeys(
        ("instructions", "metadata", "tools", "tool_choice", "prompt", "user", "safety_identifier"), _E
    ),
}

WHOLE: Final[Mapping[CallKind, Parts]] = MappingProxyType(
    {
        CallKind.CHAT: {
            **_parts("choices.*.message.", {**_SAID, "audio.transcript": _T}),
            **_parts("choices.*.", {"logprobs": _R}),
        },
        CallKind.COMPLETIONS: _parts("choices.*.", {"text": _T, "logprobs": _R, "prompt_logprobs": _R}),
        CallKind.MESSAGES: _parts("content.*.", {"text": _T, "thinking": _T}),
        CallKind.RESPONSES: _parts("", _OF_RESPONSE),
    }
)
"""Of unstreamed answers; the calls whose answers can be looked at."""
STREAMED: Final[Mapping[CallKind, Parts]] = MappingProxyType(
    {
        CallKind.CHAT: {
            **_parts("choices.*.delta.", {**_SAID, "audio.transcript": _T}),
            **_parts(
                "choices.*.delta.",
                {
                    "tool_calls.*.function.arguments": _A,
                    "tool_calls.*.custom.input": _A,
                    "function_call.arguments": _A,
                },
            ),
            **_parts("choices.*.", {"logprobs": _R}),
        },
        CallKind.COMPLETIONS: _parts("choices.*.", {"text": _T, "logprobs": _R}),
        CallKind.MESSAGES: {
            **_parts("delta.", {"text": _T, "thinking": _T, "content": _T, "partial_json": _A}),
            **_parts("content_block.", {"text": _T, "thinking": _T, "content": _T}),
        },
        CallKind.RESPONSES: {
            **_parts("", {"delta": _T, "text": _T, "refusal": _T, "logprobs": _R}),
            **_parts("part.", {"text": _T, "refusal": _T, "logprobs": _R}),
            **_parts("item.", _OUTPUT),
            **_parts("response.", _OF_RESPONSE),
        },
    }
)
"""Of events."""
