"""A guard over HTTP that answers as a test tells it."""

import asyncio
import json
import ssl
from typing import Any

from aiohttp import web


class GuardStub:
    """What it was sent, and what it answers."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.answer: object = {"action": "allow"}
        """JSON, or text or bytes as they are sent."""
        self.status = 200
        self.reply_headers: dict[str, str] = {}
        self.hold = asyncio.Event()
        """Answers wait for it."""
        self.hold.set()
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        """Listen, by TLS where a context for it is given."""
        app = web.Application(client_max_size=16 << 20)
        app.router.add_post("/v1", self._handle)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def stop(self) -> None:
        self.hold.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        self.asked.append(await request.json())
        self.headers.append(dict(request.headers))
        await self.hold.wait()
        answer = self.answer
        if not isinstance(answer, str | bytes):
            answer = json.dumps(answer)
        body = answer.encode() if isinstance(answer, str) else answer
        return web.Response(status=self.status, body=body, headers=self.reply_headers)
