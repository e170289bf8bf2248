"""One generation request's answer over HTTP, streamed or not, in each API's shape."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson
from aiohttp import web

from pilotage_sim.driver import Answer
from pilotage_sim.engine.core import Emitted
from pilotage_sim.faults import Faults
from pilotage_sim.http import shapes


class ServerDied(Exception):
    """The connection is to be reset."""


@dataclass(slots=True)
class Told:
    """An answer so far."""

    text: str = ""
    tokens: int = 0


class Dialect(Protocol):
    """How an API shapes an answer."""

    def whole(self, told: Told, answer: Answer) -> dict[str, Any]:
        """The unstreamed answer."""

    def opening(self, answer: Answer) -> list[bytes]:
        """Events before the first token."""

    def token(self, emitted: Emitted, told: Told, answer: Answer) -> list[bytes]:
        """Events for one step's tokens."""

    def closing(self, told: Told, answer: Answer) -> list[bytes]:
        """Events after the last token."""


async def events(answer: Answer, faults: Faults) -> AsyncIterator[Emitted]:
    """Tokens as they come. Raises ServerDied."""
    sent = 0
    while True:
        emitted = await answer.events.get()
        if emitted is None or faults.die_while_queued:
            raise ServerDied
        if faults.die_after_tokens is not None and sent >= faults.die_after_tokens:
            raise ServerDied
        sent += emitted.tokens
        yield emitted
        if emitted.finished:
            return


async def unstreamed(answer: Answer, dialect: Dialect, faults: Faults) -> web.Response:
    """The whole answer at once."""
    told = Told()
    async for emitted in events(answer, faults):
        told.text += emitted.text.decode()
        told.tokens += emitted.tokens
    body = orjson.dumps(dialect.whole(told, answer))
    return web.Response(body=body, content_type="application/json")


async def streamed(
    request: web.Request, answer: Answer, dialect: Dialect, faults: Faults
) -> web.StreamResponse:
    """Server-sent events. Headers go out at once, before prefill, as vLLM's do."""
    response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    told = Told()
    first = True
    async for emitted in events(answer, faults):
        told.text += emitted.text.decode()
        told.tokens += emitted.tokens
        parts = dialect.opening(answer) if first else []
        first = False
        parts += dialect.token(emitted, told, answer)
        await response.write(b"".join(parts))
    await response.write(b"".join(dialect.closing(told, answer)))
    await response.write_eof()
    return response


def data(value: dict[str, Any]) -> bytes:
    """One OpenAI event."""
    return b"data: " + orjson.dumps(value) + b"\n\n"


def event(name: str, value: dict[str, Any]) -> bytes:
    """One named event."""
    return b"event: " + name.encode() + b"\n" + data(value)


@dataclass(slots=True)
class Chat:
    """OpenAI chat."""

    model: str
    include_usage: bool
    continuous_usage: bool
    kind = "chat.completion.chunk"

    def whole(self, told: Told, answer: Answer) -> dict[str, Any]:
        """The unstreamed answer."""
        tokens = shapes.usage(answer.prompt_tokens, told.tokens, answer.cached_tokens)
        return shapes.chat(answer.id, self.model, told.text, tokens)

    def opening(self, answer: Answer) -> list[bytes]:
        """The role."""
        return [data(self._with_usage(shapes.chat_chunk(answer.id, self.model, None, None), 0, answer))]

    def token(self, emitted: Emitted, told: Told, answer: Answer) -> list[bytes]:
        """A delta."""
        finish = "length" if emitted.finished else None
        chunk = self._chunk(answer.id, emitted.text.decode(), finish)
        return [data(self._with_usage(chunk, told.tokens, answer))]

    def closing(self, told: Told, answer: Answer) -> list[bytes]:
        """Usage where asked for, and the end."""
        parts = []
        if self.include_usage:
            tokens = shapes.usage(answer.prompt_tokens, told.tokens, answer.cached_tokens)
            parts.append(data(shapes.usage_chunk(answer.id, self.kind, self.model, tokens)))
        return [*parts, b"data: [DONE]\n\n"]

    def _chunk(self, id_: str, text: str, finish: str | None) -> dict[str, Any]:
        return shapes.chat_chunk(id_, self.model, text, finish)

    def _with_usage(self, chunk: dict[str, Any], tokens: int, answer: Answer) -> dict[str, Any]:
        if self.include_usage and self.continuous_usage:
            chunk["usage"] = shapes.usage(answer.prompt_tokens, tokens)
        return chunk


class Completions(Chat):
    """OpenAI completions."""

    kind = "text_completion"

    def whole(self, told: Told, answer: Answer) -> dict[str, Any]:
        """The unstreamed answer."""
        tokens = shapes.usage(answer.prompt_tokens, told.tokens, answer.cached_tokens)
        return shapes.completion(answer.id, self.model, told.text, tokens)

    def opening(self, answer: Answer) -> list[bytes]:
        """Nothing."""
        del answer
        return []

    def _chunk(self, id_: str, text: str, finish: str | None) -> dict[str, Any]:
        return shapes.completion_chunk(id_, self.model, text, finish)


@dataclass(slots=True)
class Messages:
    """Anthropic messages."""

    model: str

    def whole(self, told: Told, answer: Answer) -> dict[str, Any]:
        """The unstreamed answer."""
        tokens = shapes.anthropic_usage(answer.prompt_tokens, told.tokens)
        return shapes.anthropic_message(answer.id, self.model, told.text, tokens)

    def opening(self, answer: Answer) -> list[bytes]:
        """The message, and its one block."""
        message: dict[str, Any] = {
            "id": answer.id,
            "type": "message",
            "role": "assistant",
            "content": [],
            "model": self.model,
            "stop_reason": None,
            "stop_sequence": None,
            "usage": shapes.anthropic_usage(answer.prompt_tokens, 0),
        }
        block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        start = event("message_start", {"type": "message_start", "message": message})
        return [start, event("content_block_start", block)]

    def token(self, emitted: Emitted, told: Told, answer: Answer) -> list[bytes]:
        """A delta."""
        del told, answer
        delta = {"type": "text_delta", "text": emitted.text.decode()}
        value = {"type": "content_block_delta", "index": 0, "delta": delta}
        return [event("content_block_delta", value)]

    def closing(self, told: Told, answer: Answer) -> list[bytes]:
        """Usage and the end."""
        delta = {
            "type": "message_delta",
            "delta": {"stop_reason": "max_tokens", "stop_sequence": None},
            "usage": shapes.anthropic_usage(answer.prompt_tokens, told.tokens),
        }
        return [
            event("content_block_stop", {"type": "content_block_stop", "index": 0}),
            event("message_delta", delta),
            event("message_stop", {"type": "message_stop"}),
        ]


@dataclass(slots=True)
class Responses:
    """OpenAI Responses, its events in the order OpenAI documents.

    https://developers.openai.com/api/reference/resources/responses/streaming-events: clients build the
    answer from what was added, so a delta of something that was not is an error to them.
    """

    model: str
    previous: str | None
    sequence: int = 0
    message_id: str = field(default_factory=lambda: shapes.new_id("msg_"))

    def whole(self, told: Told, answer: Answer) -> dict[str, Any]:
        """The unstreamed answer."""
        tokens = shapes.response_usage(answer.prompt_tokens, told.tokens, answer.cached_tokens)
        output = [shapes.response_message(self.message_id, told.text)]
        return shapes.response_object(answer.id, self.model, "incomplete", output, tokens, self.previous)

    def opening(self, answer: Answer) -> list[bytes]:
        """Created and in progress; an empty message with one empty part."""
        return [
            self._about("response.created", answer),
            self._about("response.in_progress", answer),
            self._item("response.output_item.added", shapes.response_message(self.message_id, None)),
            self._part("response.content_part.added", {"part": shapes.response_text("")}),
        ]

    def token(self, emitted: Emitted, told: Told, answer: Answer) -> list[bytes]:
        """A delta."""
        del told, answer
        return [self._part("response.output_text.delta", {"delta": emitted.text.decode(), "logprobs": []})]

    def closing(self, told: Told, answer: Answer) -> list[bytes]:
        """The end of the text, its part and its message; the whole object."""
        return [
            self._part("response.output_text.done", {"text": told.text, "logprobs": []}),
            self._part("response.content_part.done", {"part": shapes.response_text(told.text)}),
            self._item("response.output_item.done", shapes.response_message(self.message_id, told.text)),
            self._event("response.completed", {"response": self.whole(told, answer)}),
        ]

    def _about(self, kind: str, answer: Answer) -> bytes:
        response = shapes.response_object(answer.id, self.model, "in_progress", [], None, self.previous)
        return self._event(kind, {"response": response})

    def _item(self, kind: str, item: dict[str, Any]) -> bytes:
        return self._event(kind, {"output_index": 0, "item": item})

    def _part(self, kind: str, value: dict[str, Any]) -> bytes:
        return self._event(kind, {"item_id": self.message_id, "output_index": 0, "content_index": 0, **value})

    def _event(self, kind: str, value: dict[str, Any]) -> bytes:
        value = value | {"sequence_number": self.sequence, "type": kind}
        self.sequence += 1
        return event(kind, value)
