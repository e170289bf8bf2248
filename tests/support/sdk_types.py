"""The types that the `openai` and `anthropic` SDKs publish, as judges of what a translation wrote."""

from collections.abc import Iterable
from typing import Any, Final

import anthropic.types.message_create_params as messages_params
import openai.types.chat.completion_create_params as chat_params
from pydantic import TypeAdapter

from pilotage_extproc.domain.head import CallKind

_CHAT: Final = {
    True: TypeAdapter[Any](chat_params.CompletionCreateParamsStreaming),
    False: TypeAdapter[Any](chat_params.CompletionCreateParamsNonStreaming),
}
_MESSAGES: Final = {
    True: TypeAdapter[Any](messages_params.MessageCreateParamsStreaming),
    False: TypeAdapter[Any](messages_params.MessageCreateParamsNonStreaming),
}
_OWN: Final = {
    CallKind.CHAT: frozenset[str](),
    # the API knows them, of older models; the newest types have left them out
    CallKind.MESSAGES: frozenset({"temperature", "top_p", "top_k"}),
}


def check_request(kind: CallKind, body: dict[str, Any]) -> None:
    """Raises ValidationError or AssertionError where a body is not what the SDK's types say."""
    adapter = (_CHAT if kind is CallKind.CHAT else _MESSAGES)[body.get("stream") is True]
    _walk(adapter.validate_python(body))
    params = (
        chat_params.CompletionCreateParamsStreaming
        if kind is CallKind.CHAT
        else messages_params.MessageCreateParamsStreaming
    )
    known = set(params.__required_keys__ | params.__optional_keys__)  # type: ignore[attr-defined]
    assert set(body) <= known | _OWN[kind]


def _walk(value: Any) -> None:
    """pydantic checks an `Iterable` only as it is walked through."""
    if isinstance(value, dict):
        for one in value.values():
            _walk(one)
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes):
        for one in value:
            _walk(one)
