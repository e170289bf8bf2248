"""What runs in a pod of these tests: a hosted provider over TLS, which also poses as a stranger to pickers.

`GET /keys` says when which credential came last; `GET /stranger?at=HOST:PORT` calls what only the gateway's
own parts may call at a picker's port, without a certificate, and says what came of each call.
"""

import asyncio
import json
import ssl
import time
from typing import Final

import grpc
from aiohttp import web

FILES: Final = "/etc/provider"
CHUNKS: Final = 8
SECONDS_BETWEEN: Final = 0.2
ASKED: Final = (
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
    "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs",
    "/pilotage.envoy.v1.Responses/Announce",
    "/pilotage.peer.v1.Peer/Hello",
    "/pilotage.peer.v1.Peer/Deliver",
    "/pilotage.peer.v1.Peer/Explain",
    "/pilotage.peer.v1.Peer/Tell",
)


class Provider:
    """Answers chats as streams of two seconds, whatever the credential."""

    def __init__(self) -> None:
        self._last_seen: dict[str, float] = {}

    def app(self) -> web.Application:
        """Its paths."""
        made = web.Application()
        made.router.add_post("/v1/chat/completions", self._chat)
        made.router.add_get("/keys", self._keys)
        made.router.add_get("/stranger", _stranger)
        return made

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self._last_seen[request.headers.get("authorization", "")] = time.time()
        await request.read()
        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        for number in range(CHUNKS):
            choice = {"index": 0, "delta": {"content": f"{number} "}, "finish_reason": None}
            event = {"id": "x", "object": "chat.completion.chunk", "model": "x", "choices": [choice]}
            await answer.write(b"data: " + json.dumps(event).encode() + b"\n\n")
            await asyncio.sleep(SECONDS_BETWEEN)
        await answer.write(b"data: [DONE]\n\n")
        return answer

    async def _keys(self, _request: web.Request) -> web.Response:
        return web.json_response(self._last_seen)


async def _stranger(request: web.Request) -> web.Response:
    with open(f"{FILES}/ca.crt", "rb") as file:  # noqa: PTH123 - a stub's
        credentials = grpc.ssl_channel_credentials(file.read())
    options = [("grpc.ssl_target_name_override", "pilotage-extproc")]
    found: dict[str, str] = {}
    async with grpc.aio.secure_channel(request.query["at"], credentials, options) as channel:
        for method in ASKED:
            try:
                found[method] = repr(await channel.unary_unary(method)(b"", timeout=10))
            except grpc.aio.AioRpcError as error:
                found[method] = error.code().name
    return web.json_response(found)


def main() -> None:
    """Serve on port 8443."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{FILES}/tls.crt", f"{FILES}/tls.key")
    web.run_app(Provider().app(), host="0.0.0.0", port=8443, ssl_context=context, print=None)


if __name__ == "__main__":
    main()
