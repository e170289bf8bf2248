"""Streams that say of themselves what their status does not: through a whole gateway, to scripted servers."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import grpc
import pytest
import yaml
from aiohttp import web
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc_pb2
from gateway_rig import FREE, SMALL, pool

from pilotage_api.settings import GatewaySettings
from pilotage_cli.gateway.standalone import Gateway
from pilotage_extproc.server.grpc_port import EXT_PROC_SERVICE

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
CREATED = (
    b"event: response.created\n"
    b'data: {"type":"response.created","response":{"id":"%b","object":"response"}}\n\n'
)


class Servers:
    """Model servers that do what the test says, and the gateway before them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runners: list[web.AppRunner] = []
        self.ports: list[int] = []
        self.gateway: Gateway | None = None

    async def start(self, *handlers: Handler, **spec: object) -> str:
        for handler in handlers:
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", handler)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.runners.append(runner)
            self.ports.append(runner.addresses[0][1])
        manifest = pool("small", self.ports, SMALL, engine="openai", **spec)
        (self.folder / "pool.yaml").write_text(yaml.safe_dump(manifest))
        settings = GatewaySettings.model_validate({"listen": FREE, "drainSeconds": 0})
        self.gateway = Gateway(
            self.folder, settings, simulate=False, on_compiled=lambda _: None, on_trouble=print
        )
        await self.gateway.start()
        return f"http://{self.gateway.address}"

    async def stop(self) -> None:
        if self.gateway is not None:
            await self.gateway.stop()
        for runner in self.runners:
            await runner.cleanup()


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Servers]:
    made = Servers(tmp_path)
    yield made
    await made.stop()


async def streamed(
    request: web.Request, *events: bytes, then: asyncio.Event | None = None
) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await answer.prepare(request)
    for event in events:
        await answer.write(event)
    if then is not None:
        await then.wait()
    return answer


async def test_a_background_response_can_be_asked_for_and_cancelled_while_it_runs(servers):
    go_on = asyncio.Event()
    got: list[tuple[int, str, str]] = []

    def server(number: int) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            got.append((number, request.method, request.path))
            if request.path == "/v1/responses":
                await request.read()
                return await streamed(request, CREATED % (b"resp_%d" % len(got)), then=go_on)
            return web.json_response({"id": request.path})

        return answer

    url = await servers.start(*[server(number) for number in range(4)])
    body = {"model": "small", "input": "x", "stream": True, "background": True}
    async with aiohttp.ClientSession() as session, asyncio.timeout(20):
        for _ in range(6):
            async with session.post(f"{url}/v1/responses", json=body) as running:
                first = await running.content.readuntil(b"\n\n")
                made_by = got[-1][0]
                response_id = json.loads(first.split(b"data: ")[1])["response"]["id"]
                async with session.get(f"{url}/v1/responses/{response_id}") as answer:
                    assert answer.status == 200
                async with session.post(f"{url}/v1/responses/{response_id}/cancel") as answer:
                    assert answer.status == 200
                assert [entry[0] for entry in got[-2:]] == [made_by, made_by]
        go_on.set()


async def test_a_server_whose_streams_begin_with_an_error_is_ejected(servers):
    asked: Counter[str] = Counter()

    async def broken(request: web.Request) -> web.StreamResponse:
        asked["broken"] += 1
        return await streamed(request, b'data: {"error":{"message":"x","code":500}}\n\n', b"data: [DONE]\n\n")

    async def good(request: web.Request) -> web.StreamResponse:
        asked["good"] += 1
        await asyncio.sleep(0.01)
        return await streamed(
            request, b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n', b"data: [DONE]\n\n"
        )

    health = {"consecutiveFailures": 3, "ejectionTime": "60s"}
    url = await servers.start(broken, good, good, health=health)
    body = {"model": "small", "messages": [{"role": "user", "content": "x"}], "stream": True}
    async with aiohttp.ClientSession() as session:
        for _ in range(40):
            async with session.post(f"{url}/v1/chat/completions", json=body) as answer:
                await answer.read()
            await asyncio.sleep(0.05)  # its access-log entry is on its way
    assert asked["broken"] <= 4
    assert servers.gateway is not None
    metrics = servers.gateway.server.view.metrics().decode()
    assert 'result="server_error"' not in metrics, "each was tried again before its client saw anything"
    assert 'reason="serverError"} 3' in metrics


def message(**parts: object) -> bytes:
    made = ext_proc_pb2.ProcessingRequest()
    for name, value in parts.items():
        part = getattr(made, name)
        if isinstance(value, dict):
            part.SetInParent()
            for key, text in value.items():
                part.headers.headers.add(key=key, raw_value=text.encode())
        else:
            part.body = value
            part.end_of_stream = name == "request_body"
    if "request_headers" in parts:
        made.protocol_config.request_body_mode = 2
        made.protocol_config.response_body_mode = 1
    return made.SerializeToString()


async def test_behind_another_gateway_a_response_is_known_from_its_first_event_on(servers):
    async def nothing(request: web.Request) -> web.StreamResponse:
        return web.Response()

    await servers.start(nothing, nothing)
    assert servers.gateway is not None
    server = servers.gateway.server
    served = f"127.0.0.1:{servers.ports[0]}"
    head = {":method": "POST", ":path": "/v1/responses", "content-type": "application/json"}
    async with grpc.aio.insecure_channel(server.address) as channel, asyncio.timeout(10):
        call = channel.stream_stream(f"/{EXT_PROC_SERVICE}/Process")()
        body = json.dumps({"model": "small", "input": "x", "stream": True, "background": True}).encode()
        for part in (message(request_headers=head), message(request_body=body)):
            await call.write(part)
            await call.read()
        answer = ext_proc_pb2.ProcessingRequest.FromString(
            message(response_headers={":status": "200", "content-type": "text/event-stream"})
        )
        key = "x-gateway-destination-endpoint-served"
        answer.metadata_context.filter_metadata["envoy.lb"].update({key: served})
        await call.write(answer.SerializeToString())
        await call.read()
        await call.write(message(response_body=CREATED % b"resp_7"))
        await call.read()
        question = channel.stream_stream(f"/{EXT_PROC_SERVICE}/Process")()
        asked = ext_proc_pb2.ProcessingRequest.FromString(
            message(request_headers={":method": "GET", ":path": "/v1/responses/resp_7"})
        )
        asked.request_headers.end_of_stream = True
        await question.write(asked.SerializeToString())
        picked = ext_proc_pb2.ProcessingResponse.FromString(await question.read())
        headers = picked.request_headers.response.header_mutation.set_headers
        destination = {one.header.key: one.header.raw_value for one in headers}[
            "x-gateway-destination-endpoint"
        ]
        assert destination == served.encode()
        await question.done_writing()
        await call.done_writing()
