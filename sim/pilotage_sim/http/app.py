"""The HTTP API of one server."""

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import orjson
from aiohttp import web

from pilotage_sim.config import SimConfig
from pilotage_sim.driver import EngineDriver
from pilotage_sim.engine.tokens import token_count
from pilotage_sim.faults import Faults, MetricsFault
from pilotage_sim.http import answers, audio, pooling, requests, shapes, tokens
from pilotage_sim.http.answers import Dialect, ServerDied
from pilotage_sim.http.metrics import metrics_page
from pilotage_sim.http.provider import FAULTS, ProviderGate, error_kind
from pilotage_sim.http.requests import BadRequest, GenerationRequest, Members

_MAX_BODY_BYTES = 64 << 20
_MAX_STORED_RESPONSES = 10_000
_VERSION = "0.32.0"
_POOLING: Final = {
    "/v1/embeddings": pooling.embeddings,
    "/pooling": pooling.pooling,
    "/classify": pooling.classify,
    "/score": pooling.score,
    "/v1/score": pooling.score,
    "/rerank": pooling.rerank,
    "/v1/rerank": pooling.rerank,
    "/v2/rerank": pooling.rerank,
}


class SimApi:
    """Handlers over one engine."""

    def __init__(self, config: SimConfig, driver: EngineDriver, faults: Faults, seed: int) -> None:
        self._config = config
        self._driver = driver
        self._faults = faults
        self._gate = None if config.provider is None else ProviderGate(config.provider)
        self._random = random.Random(seed)  # noqa: S311 - faults must repeat under a seed
        self._adapters = set(config.adapters)
        self._stored: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._started = int(time.time())
        self._started_at = time.time()
        self.requests_seen = 0
        """Inference requests that reached this server."""
        self.requests_open = 0
        """Those whose answer has not been sent to its end."""

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=_MAX_BODY_BYTES, middlewares=[self._errors])
        app.add_routes(
            [
                web.post("/v1/chat/completions", self._chat),
                web.post("/v1/completions", self._completions),
                web.post("/v1/messages", self._messages),
                web.post("/v1/messages/count_tokens", self._count_tokens),
                web.post("/v1/responses", self._responses),
                web.get("/v1/responses/{id}", self._response),
                web.post("/v1/responses/{id}/cancel", self._response),
                web.get("/v1/models", self._models),
                web.post("/tokenize", self._tokenize),
                web.post("/detokenize", self._detokenize),
                web.post("/v1/audio/transcriptions", self._audio),
                web.post("/v1/audio/translations", self._audio),
                *(web.post(path, partial(self._pool, pool)) for path, pool in _POOLING.items()),
                web.post("/v1/load_lora_adapter", self._load_adapter),
                web.post("/v1/unload_lora_adapter", self._unload_adapter),
                web.get("/health", self._health),
                web.get("/ping", self._health),
                web.get("/version", self._version),
                web.get("/metrics", self._metrics),
                web.post(FAULTS, self._set_faults),
            ]
        )
        return app

    @web.middleware
    async def _errors(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            if self._gate is not None:
                await self._gate.check(request)
            return await handler(request)
        except BadRequest as error:
            anthropic = request.path.startswith("/v1/messages")
            body = error.anthropic if anthropic else error.body
            return web.json_response(body, status=error.status, headers=error.headers)
        except ServerDied:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()  # to nobody; an exception would be logged as a defect

    def _checked(self, name: str) -> tuple[str, str | None]:
        """The base model and the adapter of a name; no name is the base model. Raises BadRequest."""
        self.requests_seen += 1
        if self._faults.error_rate and self._random.random() < self._faults.error_rate:
            raise BadRequest(500, "Internal server error", "InternalServerError", None)
        if (status := self._faults.status) is not None:
            kind = error_kind(self._config.provider, status)
            waits = self._faults.retry_after_seconds
            raise BadRequest(status, "Told to fail", kind, None, retry_after_seconds=waits)
        if not name:
            return self._config.models[0], None
        if name in self._config.models:
            return name, None
        if name in self._adapters:
            return self._config.models[0], name
        message = f"The model `{name}` does not exist."
        raise BadRequest(404, message, "NotFoundError", "model")

    async def _generate(
        self, request: web.Request, wanted: GenerationRequest, id_: str, dialect: Dialect
    ) -> web.StreamResponse:
        model, adapter = self._checked(wanted.model)
        limit = wanted.max_tokens or self._config.default_max_tokens
        length = token_count(wanted.prompt) + limit
        longest = self._driver.engine.config.max_model_tokens
        capacity = self._driver.engine.blocks.capacity * self._config.block_tokens
        if length > min(longest, capacity):
            message = f"This model's maximum context length is {min(longest, capacity)} tokens, not {length}."
            raise BadRequest(400, message, "BadRequestError", "max_tokens")
        if self._faults.die_while_queued:
            if wanted.stream:
                response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
                await response.prepare(request)
            await asyncio.sleep(0.01)
            raise ServerDied
        answer = self._driver.submit(id_, wanted.prompt, limit, model, adapter)
        self.requests_open += 1
        try:
            if wanted.stream:
                return await answers.streamed(request, answer, dialect, self._faults)
            return await answers.unstreamed(answer, dialect, self._faults)
        finally:
            self.requests_open -= 1
            self._driver.abort(id_)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        wanted = requests.generation(requests.parse(await request.read()), "messages")
        dialect = answers.Chat(wanted.model, wanted.include_usage, wanted.continuous_usage)
        return await self._generate(request, wanted, shapes.new_id("chatcmpl-"), dialect)

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        wanted = requests.generation(requests.parse(await request.read()), "prompt")
        dialect = answers.Completions(wanted.model, wanted.include_usage, wanted.continuous_usage)
        return await self._generate(request, wanted, shapes.new_id("cmpl-"), dialect)

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        wanted = requests.generation(requests.parse(await request.read()), "messages")
        return await self._generate(
            request, wanted, shapes.new_id("chatcmpl-"), answers.Messages(wanted.model)
        )

    async def _responses(self, request: web.Request) -> web.StreamResponse:
        body = requests.parse(await request.read())
        wanted = requests.generation(body, "input")
        previous = body.get("previous_response_id")
        if previous is not None and previous not in self._stored:
            raise BadRequest(404, f"Response with id '{previous}' not found.", "NotFoundError", "response_id")
        id_ = shapes.new_id("resp_")
        dialect = answers.Responses(wanted.model, previous)
        if body.get("store", True):
            self._stored[id_] = shapes.response_object(id_, wanted.model, "in_progress", [], None, previous)
            if len(self._stored) > _MAX_STORED_RESPONSES:
                self._stored.popitem(last=False)
        answer = await self._generate(request, wanted, id_, dialect)
        if id_ in self._stored:
            self._stored[id_]["status"] = "completed"
        return answer

    async def _response(self, request: web.Request) -> web.Response:
        id_ = request.match_info["id"]
        stored = self._stored.get(id_)
        if stored is None:
            raise BadRequest(404, f"Response with id '{id_}' not found.", "NotFoundError", "response_id")
        if request.path.endswith("/cancel"):
            stored["status"] = "cancelled"
            self._driver.abort(id_)
        return web.json_response(stored)

    async def _pool(self, pool: Callable[[Members, str], Members], request: web.Request) -> web.Response:
        body, model = await self._named(request)
        return web.json_response(pool(body, model))

    async def _tokenize(self, request: web.Request) -> web.Response:
        body, _ = await self._named(request)
        return web.json_response(tokens.tokenize(body, self._driver.engine.config.max_model_tokens))

    async def _detokenize(self, request: web.Request) -> web.Response:
        body, _ = await self._named(request)
        return web.json_response(tokens.detokenize(body))

    async def _count_tokens(self, request: web.Request) -> web.Response:
        body, _ = await self._named(request)
        return web.json_response(tokens.count(body))

    async def _named(self, request: web.Request) -> tuple[Members, str]:
        """A body, and the model it is for. Raises BadRequest."""
        body = requests.parse(await request.read())
        name = str(body.get("model") or "")
        base, _ = self._checked(name)
        return body, name or base

    async def _audio(self, request: web.Request) -> web.StreamResponse:
        wanted = await audio.read(request)
        kind = "translation" if request.path.endswith("translations") else "transcription"
        generation = wanted.generation
        dialect = audio.Audio(
            generation.model or self._config.models[0], kind, wanted.seconds, generation.include_usage
        )
        answer = await self._generate(request, generation, shapes.new_id(f"{kind}-"), dialect)
        if wanted.text_only and isinstance(answer, web.Response) and isinstance(answer.body, bytes):
            return web.Response(text=orjson.loads(answer.body)["text"])
        return answer

    async def _models(self, _request: web.Request) -> web.Response:
        longest = self._driver.engine.config.max_model_tokens
        entries = [shapes.model_entry(name, None, self._started, longest) for name in self._config.models]
        base = self._config.models[0]
        entries += [shapes.model_entry(name, base, self._started, None) for name in sorted(self._adapters)]
        return web.json_response({"object": "list", "data": entries})

    async def _load_adapter(self, request: web.Request) -> web.Response:
        name = requests.parse(await request.read()).get("lora_name")
        if not isinstance(name, str) or not name:
            raise BadRequest(400, "'lora_name' is required.", "InvalidUserInput", "lora_name")
        self._adapters.add(name)
        return web.Response(text=f"Success: LoRA adapter '{name}' added successfully.")

    async def _unload_adapter(self, request: web.Request) -> web.Response:
        name = requests.parse(await request.read()).get("lora_name")
        if name not in self._adapters:
            raise BadRequest(404, f"The lora adapter '{name}' cannot be found.", "NotFoundError", "lora_name")
        self._adapters.discard(name)
        return web.Response(text=f"Success: LoRA adapter '{name}' removed successfully.")

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response()

    async def _version(self, _request: web.Request) -> web.Response:
        return web.json_response({"version": _VERSION})

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        fault = self._faults.metrics
        if fault is MetricsFault.STALL:
            await asyncio.sleep(3600)
        if fault is MetricsFault.GARBAGE:
            return web.Response(body=self._random.randbytes(4096), content_type="text/plain")
        if fault is MetricsFault.ENDLESS:
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(b"# no end\n" * 1000)
                await asyncio.sleep(0.001)
        page = metrics_page(
            self._driver.engine,
            self._config.models[0],
            now_seconds=time.time(),
            started_at_seconds=self._started_at,
        )
        return web.Response(body=page, content_type="text/plain", charset="utf-8")

    async def _set_faults(self, request: web.Request) -> web.Response:
        try:
            self._faults.update(orjson.loads(await request.read()))
        except (ValueError, AttributeError) as error:
            raise BadRequest(400, str(error), "Bad Request", None) from None
        return web.Response()
