"""A request of one API as one of another: what the provider's hop asks for."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import orjson

from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.dialects.translation import answers
from pilotage_extproc.dialects.translation.common import CommonRequest
from pilotage_extproc.dialects.translation.decode_chat import decode_chat
from pilotage_extproc.dialects.translation.decode_messages import decode_messages
from pilotage_extproc.dialects.translation.decode_responses import decode_responses
from pilotage_extproc.dialects.translation.encode_chat import encode_chat
from pilotage_extproc.dialects.translation.encode_messages import encode_messages
from pilotage_extproc.dialects.translation.facts import ModelFacts
from pilotage_extproc.dialects.translation.fields import FIELDS
from pilotage_extproc.dialects.translation.reading import Reading
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import Refusal, RequestRefused

Decoder = Callable[[dict[str, Any], Reading], CommonRequest]
Encoder = Callable[[CommonRequest, ModelFacts, Reading], dict[str, Any]]

_DECODERS: Final[Mapping[CallKind, Decoder]] = {
    CallKind.CHAT: decode_chat,
    CallKind.MESSAGES: decode_messages,
    CallKind.RESPONSES: decode_responses,
}
_ENCODERS: Final[Mapping[CallKind, Encoder]] = {
    CallKind.CHAT: encode_chat,
    CallKind.MESSAGES: encode_messages,
}


class Translated(NamedTuple):
    """A request in the provider's API, and what its answer must be made with."""

    body: bytes
    path: str
    notes: tuple[str, ...]
    """What was not carried as it was, for the explanation: names of fields, never their text."""
    answer: Mapping[str, str]
    """By the keys of `answers.py`."""


def translates(kind: CallKind, target: CallKind) -> bool:
    """Whether calls of a kind can be made to a provider of another."""
    return (kind, target) in FIELDS


def translate(kind: CallKind, target: CallKind, members: dict[str, Any], facts: ModelFacts) -> Translated:
    """The request of a parsed body as a call of another kind.

    Raises RequestRefused (400), which names the field; KeyError where there is no such translation.
    """
    reading = Reading(FIELDS[kind, target])
    try:
        request = _DECODERS[kind](members, reading)
        body = orjson.dumps(_ENCODERS[target](request, facts, reading))
    except (RecursionError, orjson.JSONEncodeError) as error:  # orjson writes no more than 254 levels
        message = "The request body is nested too deeply to be translated."
        raise RequestRefused(Refusal.TOO_COMPLEX, message) from error
    return Translated(
        body=body,
        path=DIALECTS[target].path,
        notes=reading.notes,
        answer=_answer(kind, members, request, reading.notes),
    )


def _answer(
    kind: CallKind, members: dict[str, Any], request: CommonRequest, notes: tuple[str, ...]
) -> dict[str, str]:
    answer = {answers.ANSWER_AS: kind.value}
    flags = {
        answers.STREAM_WANTED: request.stream,
        answers.USAGE_WANTED: request.usage_wanted,
        answers.THINKING_WANTED: kind is not CallKind.MESSAGES or _wants_thinking(members),
    }
    answer |= {name: answers.YES for name, wanted in flags.items() if wanted}
    if notes:
        answer[answers.NOTES] = answers.BETWEEN_NOTES.join(notes)
    return answer


def _wants_thinking(members: dict[str, Any]) -> bool:
    """Whether an Anthropic request asks to see what the model thinks."""
    thinking = members.get("thinking")
    return isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive")
