"""Envoy's own errors, each made to happen: OpenAI error objects all."""

import asyncio
import json
import re

import pytest
from envoy_rig import Received, fixed, pick

from pilotage_api.settings import BodyLimits, GatewaySettings, UpstreamSettings
from pilotage_extproc.domain.refusals import Refusal, RequestRefused


def error_of(headers, body):
    assert headers["content-type"] == "application/json"
    error = json.loads(body)["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["message"]
    return error


async def test_a_body_past_the_limit_is_413(start_rig, start_server):
    server = await start_server(fixed(200, b"{}"))
    settings = GatewaySettings(body=BodyLimits(max_bytes=64 << 10))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address], settings=settings)
    status, headers, body = await rig.chat(b'{"prompt":"%s"}' % (b"x" * (200 << 10)))
    assert status == 413
    error = error_of(headers, body)
    assert (error["type"], error["code"]) == ("invalid_request_error", "body_too_large")
    assert server.received == []


async def test_a_body_of_exactly_the_limit_passes(start_rig, start_server):
    server = await start_server(fixed(200, b"{}"))
    settings = GatewaySettings(body=BodyLimits(max_bytes=64 << 10))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address], settings=settings)
    body = b'{"prompt":"%s"}' % (b"x" * ((64 << 10) - 13))
    assert len(body) == 64 << 10
    assert (await rig.chat(body))[0] == 200
    assert server.received[0].body == body


async def test_a_picker_that_has_gone_is_500_with_retry_after(start_rig, start_server):
    server = await start_server(fixed(200, b"{}"))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    await rig.extproc.stop(None)
    status, headers, body = await rig.chat()
    assert status == 500
    error = error_of(headers, body)
    assert (error["type"], error["code"]) == ("server_error", "picker_unavailable")
    assert headers["retry-after"] == "1"
    assert server.received == []


async def test_a_picker_that_does_not_answer_in_time_is_504(start_rig, start_server):
    server = await start_server(fixed(200, b"{}"))
    settings = GatewaySettings(message_timeout_seconds=0.1)
    rig = await start_rig(lambda head, body: None, [server.address], settings=settings)
    status, headers, body = await rig.chat()
    assert status == 504
    error = error_of(headers, body)
    assert (error["type"], error["code"]) == ("server_error", "timeout")
    assert headers["retry-after"] == "1"


async def test_servers_that_cannot_be_reached_are_503(start_rig, start_server):
    server = await start_server(fixed(200, b"{}"))
    await server.stop()
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    status, headers, body = await rig.chat()
    assert status == 503
    assert error_of(headers, body)["code"] == "upstream_unavailable"
    assert headers["retry-after"] == "1"
    [logged] = await rig.logged()
    assert "upstream_connection_failure" in logged.outcome.response_flags


async def test_a_server_that_is_silent_too_long_is_504(start_rig, start_server):
    async def never(_request: Received, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    server = await start_server(never)
    settings = GatewaySettings(upstream=UpstreamSettings(stream_idle_timeout_seconds=0.3))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address], settings=settings)
    status, headers, body = await rig.chat()
    assert status == 504
    assert error_of(headers, body)["code"] == "timeout"


async def test_a_server_that_breaks_the_protocol_is_502(start_rig, start_server):
    async def noise(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"this is not HTTP\r\n\r\n")

    server = await start_server(noise)
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    status, headers, body = await rig.chat()
    assert status == 502
    assert error_of(headers, body)["type"] == "server_error"


@pytest.mark.parametrize(
    ("reason", "retry_after"), [(Refusal.BAD_JSON, None), (Refusal.OVERLOADED, 7), (Refusal.INTERNAL, None)]
)
async def test_a_refusal_of_the_picker_passes_as_it_is(start_rig, start_server, reason, retry_after):
    server = await start_server(fixed(200, b"{}"))
    refused = RequestRefused(reason, "said by the picker", "field", retry_after)
    rig = await start_rig(lambda head, body: refused, [server.address])
    status, headers, body = await rig.chat()
    assert status == reason.http_status
    assert body == refused.body()
    assert headers["content-type"] == "application/json"
    assert headers.get("retry-after") == (None if retry_after is None else str(retry_after))


async def test_an_error_of_the_engine_passes_as_it_is(start_rig, start_server):
    said = b'{"object":"error","message":"KV cache exhausted"}'
    server = await start_server(fixed(503, said))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    status, headers, body = await rig.chat()
    assert (status, body) == (503, said)
    assert "retry-after" not in headers


async def test_headers_past_the_limit_are_431(start_rig, start_server):
    server = await start_server(fixed(200, b"{}"))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    writer.write(b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx-long: " + b"a" * 70_000 + b"\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431")
    assert json.loads(await reader.read())["error"]["code"] == "headers_too_large"
    writer.close()


async def raw(port: int, request: bytes) -> tuple[bytes, bytes]:
    """Head and body of the answer to bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    async with asyncio.timeout(30):
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        body = await (reader.readexactly(int(length[1])) if length else reader.read())
    writer.close()
    return head, body


async def test_an_upgrade_is_refused_with_an_error_object(start_rig, start_server):
    server = await start_server(fixed(200, b"{}"))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    asked = b"GET /v1/realtime HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    asked += b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    head, body = await raw(rig.port, asked)
    assert head.startswith(b"HTTP/1.1 403")
    assert json.loads(body)["error"]["code"] == "upgrade_refused"


@pytest.mark.parametrize("host", [b"", b"host: x\r\n"])
async def test_a_client_of_http_1_0_is_served(start_rig, start_server, host):
    server = await start_server(fixed(200, b'"ok"'))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    body = b'{"model":"m","prompt":"x"}'
    asked = b"POST /v1/completions HTTP/1.0\r\n%bcontent-type: application/json\r\n" % host
    head, told = await raw(rig.port, asked + b"content-length: %d\r\n\r\n%b" % (len(body), body))
    assert (head.split(b"\r\n")[0][9:], told) == (b"200 OK", b'"ok"')
    assert server.received[0].body == body
