"""The admin address: metrics, decisions, endpoints and the snapshot, over HTTP.

Health and metrics are open; everything else needs the bearer token where one is set, and without
one the server refuses to listen anywhere but on loopback, and answers only who calls it so.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

from aiohttp import web

from pilotage_extproc.domain.clock import monotonic
from pilotage_extproc.server.addresses import AddressError, split_address
from pilotage_extproc.server.admin_token import AdminToken
from pilotage_extproc.server.loopback import is_loopback, names_loopback

_OPEN_PATHS = frozenset({"/metrics", "/healthz", "/readyz"})
_MAX_REQUEST_BYTES = 32 << 20
_MAX_DECISIONS = 100
"""In one answer: explaining one takes a millisecond for each thousand of its candidates."""


class AdminView(Protocol):
    """What the admin address shows; JSON as bytes."""

    def metrics(self) -> bytes:
        """Prometheus text."""

    def ready(self) -> bool:
        """Whether new requests should come here."""

    def status(self) -> bytes:
        """What the process runs, and what of it is not as it should be."""

    def snapshot(self) -> bytes:
        """The snapshot in force."""

    def endpoints(self) -> bytes:
        """Every endpoint with its figures and their age."""

    async def budgets(self) -> bytes | None:
        """What each tenant has of its budgets; None while the store cannot say."""

    async def list_decisions(self, limit: int, *, failed: bool = False) -> bytes:
        """The last decisions, newest first."""

    async def explain(self, decision_id: str) -> bytes | None:
        """One decision, from this process or the peer that holds it."""

    async def explain_request(self, request: bytes) -> bytes:
        """What would be decided for a described request now; nothing is placed. Raises ValueError."""


class AdminServer:
    """Serves an AdminView on one address."""

    def __init__(self, view: AdminView, address: str, token_file: str | None) -> None:
        self._view = view
        self._host, self._port = split_address(address)
        self._token = AdminToken(token_file, monotonic) if token_file else None
        if self._token is None and not is_loopback(self._host):
            raise AddressError(
                f"listen.admin {address} is not loopback: set adminTokenFile, or listen on 127.0.0.1"
            )
        self._runner: web.AppRunner | None = None
        self.port = self._port

    async def start(self) -> None:
        """Listen. Raises OSError where the address is taken."""
        app = web.Application(middlewares=[self._guard], client_max_size=_MAX_REQUEST_BYTES)
        app.add_routes(
            [
                web.get("/metrics", self._metrics),
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/status", self._status),
                web.get("/snapshot", self._snapshot),
                web.get("/endpoints", self._endpoints),
                web.get("/budgets", self._budgets),
                web.get("/decisions", self._decisions),
                web.get("/decisions/{id}", self._decision),
                web.post("/explain", self._explain),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if self._token is None and not names_loopback(request.headers.get("Host", "")):
            # a page whose name has been made to resolve to loopback, in a browser of this machine
            message = "without adminTokenFile only localhost, 127.0.0.0/8 and [::1] are answered as Host"
            return web.json_response({"error": message}, status=403)
        if self._token is not None and request.path not in _OPEN_PATHS:
            given = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if not self._token.accepts(given):
                return web.json_response({"error": "a bearer token is required here"}, status=401)
        return await handler(request)

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._view.metrics(), content_type="text/plain", charset="utf-8")

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        ready = self._view.ready()
        return web.Response(text="ok\n" if ready else "not ready\n", status=200 if ready else 503)

    async def _status(self, _request: web.Request) -> web.Response:
        return _json(self._view.status())

    async def _snapshot(self, _request: web.Request) -> web.Response:
        return _json(self._view.snapshot())

    async def _endpoints(self, _request: web.Request) -> web.Response:
        return _json(self._view.endpoints())

    async def _budgets(self, _request: web.Request) -> web.Response:
        shown = await self._view.budgets()
        if shown is None:
            message = "the store of limits and budgets cannot be asked now"
            return web.json_response({"error": message}, status=503)
        return _json(shown)

    async def _decisions(self, request: web.Request) -> web.Response:
        limit = request.query.get("limit", "20")
        if not limit.isdigit():
            return web.json_response({"error": f"limit={limit!r} is not a count"}, status=400)
        failed = request.query.get("failed", "false")
        if failed not in ("true", "false"):
            return web.json_response({"error": f"failed={failed!r} is not true or false"}, status=400)
        listed = await self._view.list_decisions(min(int(limit), _MAX_DECISIONS), failed=failed == "true")
        return _json(listed)

    async def _decision(self, request: web.Request) -> web.Response:
        decision_id = request.match_info["id"]
        explained = await self._view.explain(decision_id)
        if explained is None:
            message = f"no decision {decision_id} here or at a peer: it was never made, or is too long ago"
            return web.json_response({"error": message}, status=404)
        return _json(explained)

    async def _explain(self, request: web.Request) -> web.Response:
        try:
            return _json(await self._view.explain_request(await request.read()))
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")
