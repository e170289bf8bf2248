"""Transcriptions and translations, as vLLM 0.32 answers them. Nobody listens: a sound has a made-up text."""

import time
from dataclasses import dataclass
from typing import Any

import xxhash
from aiohttp import web
from aiohttp.web_request import FileField

from pilotage_sim.driver import Answer
from pilotage_sim.engine.core import Emitted
from pilotage_sim.http import shapes
from pilotage_sim.http.answers import Told, data
from pilotage_sim.http.requests import BadRequest, GenerationRequest, missing

_BYTES_PER_SECOND = 32_000
"""Of a sound: 16 bits, 16 kHz, one channel."""
_TOKENS = 16
_TRUE = ("true", "1", "on", "yes")


@dataclass(slots=True, frozen=True)
class AudioRequest:
    """What the engine is to make of a form, and what its answer tells."""

    generation: GenerationRequest
    seconds: int
    text_only: bool
    """Whether the answer is to be plain text."""


async def read(request: web.Request) -> AudioRequest:
    """Read a form. Raises BadRequest."""
    if not request.content_type.startswith("multipart/"):
        raise missing("file")
    try:
        form = await request.post()
    except ValueError as error:
        raise BadRequest(400, str(error), "Bad Request", None) from None
    sound = form.get("file")
    if not isinstance(sound, FileField):
        raise missing("file")
    heard = sound.file.read()
    prompt = str(form.get("prompt", "")).encode() + xxhash.xxh3_64_hexdigest(heard).encode()
    generation = GenerationRequest(
        model=str(form.get("model", "")),
        prompt=prompt,
        max_tokens=_TOKENS,
        stream=str(form.get("stream", "")).lower() in _TRUE,
        include_usage=str(form.get("stream_include_usage", "")).lower() in _TRUE,
        continuous_usage=False,
    )
    seconds = -(-len(heard) // _BYTES_PER_SECOND)
    return AudioRequest(generation, seconds, form.get("response_format") == "text")


@dataclass(slots=True)
class Audio:
    """How an answer is shaped."""

    model: str
    kind: str
    """`transcription` or `translation`."""
    seconds: int
    include_usage: bool

    def whole(self, told: Told, answer: Answer) -> dict[str, Any]:
        """The unstreamed answer: usage is the sound's length."""
        del answer
        usage = {"type": "duration", "seconds": self.seconds}
        return {"text": told.text} | ({"usage": usage} if self.kind == "transcription" else {})

    def opening(self, answer: Answer) -> list[bytes]:
        """Nothing."""
        del answer
        return []

    def token(self, emitted: Emitted, told: Told, answer: Answer) -> list[bytes]:
        """A delta."""
        del told
        return [self._chunk(answer, [{"delta": {"content": emitted.text.decode()}, "finish_reason": None}])]

    def closing(self, told: Told, answer: Answer) -> list[bytes]:
        """The end; usage in tokens where it was asked for."""
        end = [self._chunk(answer, [{"delta": {"content": ""}, "finish_reason": "stop"}])]
        if self.include_usage:
            usage = shapes.usage(answer.prompt_tokens, told.tokens)
            end.append(self._chunk(answer, [], usage))
        return [*end, b"data: [DONE]\n\n"]

    def _chunk(
        self, answer: Answer, choices: list[dict[str, Any]], usage: dict[str, Any] | None = None
    ) -> bytes:
        chunk = {
            "id": answer.id,
            "object": f"{self.kind}.chunk",
            "created": int(time.time()),
            "model": self.model,
            "choices": choices,
        }
        return data(chunk if usage is None else chunk | {"usage": usage})
