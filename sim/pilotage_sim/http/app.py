"""The HTTP API of one server."""

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

from pilotage_sim.config import SimConfig
from pilotage_sim.driver import EngineDriver
from pilotage_sim.engine.tokens import token_count
from pilotage_sim.faults import Faults, MetricsFault
from pilotage_sim.http import answers, requests, shapes
from pilotage_sim.http.answers import Dialect, ServerDied
from pilotage_sim.http.metrics import metrics_page
from pilotage_sim.http.requests import BadRequest, GenerationRequest

_MAX_BODY_BYTES = 64 << 20
_MAX_STORED_RESPONSES = 10_000
_VERSION = "0.32.0"
_EMBEDDING_SIZE = 8


class SimApi:
    """Handlers over one engine."""

    def __init__(self, config: SimConfig, driver: EngineDriver, faults: Faults, seed: int) -> None:
        self._config = config
        self._driver = driver
        self._faults = faults
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
                web.post("/v1/embeddings", self._embeddings),
                web.post("/v1/messages", self._messages),
                web.post("/v1/responses", self._responses),
                web.get("/v1/responses/{id}", self._response),
                web.post("/v1/responses/{id}/cancel", self._response),
                web.get("/v1/models", self._models),
                web.post("/v1/load_lora_adapter", self._load_adapter),
                web.post("/v1/unload_lora_adapter", self._unload_adapter),
                web.get("/health", self._health),
                web.get("/ping", self._health),
                web.get("/version", self._version),
                web.get("/metrics", self._metrics),
                web.post("/sim/faults", self._set_faults),
            ]
        )
        return app

    @web.middleware
    async def _errors(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            return await handler(request)
        except BadRequest as error:
            return web.json_response(error.body, status=error.status)
        except ServerDied:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()  # to nobody; an exception would be logged as a defect

    def _checked(self, wanted: GenerationRequest) -> tuple[str, str | None]:
        """The base model and the adapter of a name. Raises BadRequest."""
        self.requests_seen += 1
        if self._faults.error_rate and self._random.random() < self._faults.error_rate:
            raise BadRequest(500, "Internal server error", "InternalServerError", None)
        if wanted.model in self._config.models:
            return wanted.model, None
        if wanted.model in self._adapters:
            return self._config.models[0], wanted.model
        message = f"The model `{wanted.model}` does not exist."
        raise BadRequest(404, message, "NotFoundError", "model")

    async def _generate(
        self, request: web.Request, wanted: GenerationRequest, id_: str, dialect: Dialect
    ) -> web.StreamResponse:
        model, adapter = self._checked(wanted)
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

    async def _embeddings(self, request: web.Request) -> web.Response:
        body = requests.parse(await request.read())
        wanted = requests.generation(body, "input")
        self._checked(wanted)
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        tokens = sum(token_count(str(text).encode()) for text in texts)
        rows = [
            {"index": index, "object": "embedding", "embedding": [self._random.random()] * _EMBEDDING_SIZE}
            for index in range(len(texts))
        ]
        counted = {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0}
        return web.json_response(
            {
                "id": shapes.new_id("embd-"),
                "object": "list",
                "created": int(time.time()),
                "model": wanted.model,
                "data": rows,
                "usage": counted | {"prompt_tokens_details": None},
            }
        )

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
