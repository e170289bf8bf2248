"""Health and metrics over HTTP."""

from collections.abc import Callable

from aiohttp import web


class StatusServer:
    """Serves /healthz, /readyz and /metrics; nothing of it is secret, and nothing can be changed by it."""

    def __init__(
        self,
        address: str,
        *,
        healthy: Callable[[], str | None],
        ready: Callable[[], tuple[bool, str]],
        metrics: Callable[[], bytes],
    ) -> None:
        """`healthy` says what is wrong, None for nothing; `ready` whether, and how it stands in words."""
        host, _, port = address.rpartition(":")
        self._host, self._port = host.strip("[]") or None, int(port)
        self._healthy = healthy
        self._ready = ready
        self._metrics = metrics
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Listen; the URL. Raises OSError."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/healthz", self._get_healthz),
                web.get("/readyz", self._get_readyz),
                web.get("/metrics", self._get_metrics),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port, reuse_port=False)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    async def stop(self) -> None:
        """Close."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _get_healthz(self, _request: web.Request) -> web.Response:
        wrong = self._healthy()
        return web.Response(text=wrong or "ok", status=500 if wrong else 200)

    async def _get_readyz(self, _request: web.Request) -> web.Response:
        ready, told = self._ready()
        return web.Response(text=told, status=200 if ready else 503)

    async def _get_metrics(self, _request: web.Request) -> web.Response:
        return web.Response(
            body=self._metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )
