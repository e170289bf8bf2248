"""What makes a simulated server a hosted provider: fewer paths, a key, and the API's own demands."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from hmac import compare_digest
from typing import Final

import orjson
from aiohttp import web

from pilotage_sim.http.requests import BadRequest

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ProviderApi(StrEnum):
    """Whose API it speaks."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


@dataclass(slots=True, frozen=True)
class Provider:
    """A hosted provider in place of a model server."""

    api: ProviderApi
    key: str | None = None
    """What clients must prove; None lets everybody in."""


FAULTS: Final = "/sim/faults"
_PATHS: Final = {
    ProviderApi.OPENAI: (
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/responses",
        "/v1/audio/",
        "/v1/models",
    ),
    ProviderApi.ANTHROPIC: ("/v1/messages", "/v1/models"),
}
_KINDS: Final = {
    ProviderApi.OPENAI: {401: "invalid_request_error", 404: "invalid_request_error", 429: "requests"},
    ProviderApi.ANTHROPIC: {
        401: "authentication_error",
        404: "not_found_error",
        429: "rate_limit_error",
        529: "overloaded_error",
    },
}


def error_kind(provider: Provider | None, status: int) -> str:
    """The `type` of an error with this status."""
    if provider is None:
        return "InternalServerError"
    return _KINDS[provider.api].get(status, "api_error" if status >= 500 else "invalid_request_error")


class ProviderGate:
    """Lets a provider's own paths through, for requests that have what it demands."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    async def check(self, request: web.Request) -> None:
        """Raises BadRequest as the provider would answer."""
        if request.path == FAULTS:
            return
        if not request.path.startswith(_PATHS[self._provider.api]):
            raise self._error(404, f"Unknown request URL: {request.method} {request.path}")
        key = self._provider.key
        if key is not None and not compare_digest(self._said(request).encode(), key.encode()):
            raise self._error(401, "Incorrect API key provided.")
        if self._provider.api is ProviderApi.ANTHROPIC and request.method == "POST":
            await self._check_anthropic(request)

    def _said(self, request: web.Request) -> str:
        own = request.headers.get("x-api-key") if self._provider.api is ProviderApi.ANTHROPIC else None
        if own is not None:
            return own
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return token if scheme.lower() == "bearer" else ""

    async def _check_anthropic(self, request: web.Request) -> None:
        if "anthropic-version" not in request.headers:
            raise self._error(400, "anthropic-version: header is required")
        if request.path != "/v1/messages":
            return
        try:
            body = orjson.loads(await request.read())
        except orjson.JSONDecodeError:
            return  # its handler says so
        if isinstance(body, dict) and "max_tokens" not in body:
            raise self._error(400, "max_tokens: Field required")

    def _error(self, status: int, message: str) -> BadRequest:
        return BadRequest(status, message, error_kind(self._provider, status), None)
