"""How an answer ends that is filtered, as each API's clients understand it.

Chat and completions: https://platform.openai.com/docs/api-reference/chat/object (`content_filter`); messages:
https://docs.anthropic.com/en/api/handling-stop-reasons (`refusal`); responses:
https://platform.openai.com/docs/api-reference/responses-streaming (`response.incomplete`).
"""

from collections.abc import Callable
from typing import Any, Final

import orjson

from pilotage_extproc.domain.head import CallKind

_DONE: Final = b"data: [DONE]\n\n"
_FILTERED: Final = "content_filter"
_OF_CHUNK: Final[tuple[str, ...]] = ("id", "object", "created", "model", "system_fingerprint")
_OF_MESSAGE: Final[tuple[str, ...]] = ("id", "type", "role", "model")
_OF_RESPONSE: Final[tuple[str, ...]] = (
    "id",
    "object",
    "created_at",
    "model",
    "parallel_tool_calls",
    "previous_response_id",
    "store",
    "temperature",
    "tool_choice",
    "tools",
    "top_p",
)
_ECHOED: Final = frozenset({"tools", "tool_choice"})
"""The client's own words."""
Members = dict[str, Any]
Passes = Callable[[object], bool]
"""Whether a member of an answer's frame may stand at its end.

A server may write there what it may not say.
"""


def everything(_value: object) -> bool:
    """What `Passes` is where no rule looks."""
    return True


class StreamSeen:
    """What of a stream has passed that its end has to fit."""

    def __init__(self, kind: CallKind) -> None:
        self._kind = kind
        self._head: Members = {}
        self._open: set[Any] = set()
        """Choices that have not finished, or the index of the content block that is open."""
        self._number = 0
        self._pieces = 0

    def comes(self, event: Members) -> None:
        """The next event, before it goes on."""
        kind = self._kind
        if kind is CallKind.CHAT or kind is CallKind.COMPLETIONS:
            self._head = self._head or {name: event[name] for name in _OF_CHUNK if name in event}
            self._open |= _choices(event, finished=False)
        elif kind is CallKind.RESPONSES:
            self._number = max(self._number, _number(event.get("sequence_number")))
            response = event.get("response")
            if isinstance(response, dict):
                self._head = response

    def went(self, event: Members) -> None:
        """It has gone on."""
        kind, type_ = self._kind, event.get("type")
        if kind is CallKind.CHAT or kind is CallKind.COMPLETIONS:
            self._open -= _choices(event, finished=True)
        elif type_ == "content_block_start":
            self._open = {event.get("index")}
        elif type_ == "content_block_stop":
            self._open = set()
        elif type_ == "content_block_delta":
            self._pieces += 1

    def saw_piece(self) -> None:
        """An event that only goes a text on."""
        self._pieces += 1
        self._number += 1

    def filtered(self, passes: Passes) -> bytes:
        """The events that end the stream."""
        kind = self._kind
        if kind is CallKind.MESSAGES:
            stops = [_named("content_block_stop", {"index": index}) for index in self._open]
            delta = {"stop_reason": "refusal", "stop_sequence": None}
            # the server's own count comes with its end, which nobody waits for: an event has about a token
            last = _named("message_delta", {"delta": delta, "usage": {"output_tokens": self._pieces}})
            return b"".join((*stops, last, _named("message_stop", {})))
        if kind is CallKind.RESPONSES:
            members = {"sequence_number": self._number + 1, "response": _incomplete(self._head, passes)}
            return _named("response.incomplete", members)
        empty: Members = {"delta": {}} if kind is CallKind.CHAT else {"text": ""}
        choices = [
            {"index": index, **empty, "logprobs": None, "finish_reason": _FILTERED}
            for index in sorted(self._open, key=str) or [0]
        ]
        head = _framed(_OF_CHUNK, self._head, passes)
        return b"data: %b\n\n%b" % (orjson.dumps({**head, "choices": choices}), _DONE)


def filtered_answer(kind: CallKind, answer: Members, passes: Passes) -> bytes:
    """An unstreamed answer in the place of one that is filtered: with its usage, without its text."""
    usage = _framed(("usage",), answer, passes)
    if kind is CallKind.MESSAGES:
        head = _framed(_OF_MESSAGE, answer, passes)
        return orjson.dumps({**head, "content": [], "stop_reason": "refusal", "stop_sequence": None, **usage})
    if kind is CallKind.RESPONSES:
        return orjson.dumps(_incomplete(answer, passes) | usage)
    said: Members = (
        {"message": {"role": "assistant", "content": ""}} if kind is CallKind.CHAT else {"text": ""}
    )
    choices = answer.get("choices")
    made = [
        {"index": place, **said, "logprobs": None, "finish_reason": _FILTERED}
        for place in range(len(choices) if isinstance(choices, list) else 1)
    ]
    head = _framed(_OF_CHUNK, answer, passes)
    return orjson.dumps({**head, "choices": made, **usage})


def _choices(event: Members, *, finished: bool) -> set[Any]:
    choices = event.get("choices")
    return {
        one.get("index", place)
        for place, one in enumerate(choices if isinstance(choices, list) else ())
        if isinstance(one, dict) and (one.get("finish_reason") is not None) == finished
    }


def _framed(names: tuple[str, ...], of: Members, passes: Passes) -> Members:
    return {name: of[name] for name in names if name in of and (name in _ECHOED or passes(of[name]))}


def _incomplete(response: Members, passes: Passes) -> Members:
    head = _framed(_OF_RESPONSE, response, passes)
    reason = {"reason": _FILTERED}
    return {**head, "status": "incomplete", "error": None, "incomplete_details": reason, "output": []}


def _named(type_: str, members: Members) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (type_.encode(), orjson.dumps({"type": type_, **members}))


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
