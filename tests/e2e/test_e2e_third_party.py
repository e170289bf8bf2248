"""The picker as other gateways meet it: gRPC, both body modes, no bundled Envoy."""

import asyncio
import json
from collections.abc import AsyncIterator

import grpc
import pytest
import yaml
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc_pb2
from gateway_rig import FREE, SMALL, pool

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_texts
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.envoy.ext_proc.messages import BodyMode
from pilotage_extproc.server.extproc_server import ExtProcServer
from pilotage_extproc.server.grpc_port import EXT_PROC_SERVICE

CHAT_PATH = "/v1/chat/completions"
HEADERS = {
    ":method": "POST",
    ":path": CHAT_PATH,
    "content-type": "application/json",
    "accept-encoding": "gzip",
    "x-gateway-destination-endpoint": "10.9.9.9:1",
    "x-gateway-destination-endpoint-foo": "10.9.9.9:1",
    "x-gateway-inference-objective": "free",
    "x-pilotage-anything": "1",
    "x-tier": "gold",
}
BODY = json.dumps({"model": "small", "messages": [{"role": "user", "content": "hi"}]}).encode()


@pytest.fixture
async def picker() -> AsyncIterator[ExtProcServer]:
    """A picker alone, with one endpoint."""
    settings = GatewaySettings.model_validate({"listen": FREE, "publishHoldSeconds": 0, "drainSeconds": 0})
    manifest = yaml.safe_dump(pool("small", [1], SMALL))
    server = ExtProcServer(settings)
    await server.start()
    await server.apply(compile_resources(load_texts([("pool.yaml", manifest)]), settings).snapshot)
    yield server
    await server.drain()
    await server.stop()


def head(mode: BodyMode, headers: dict[str, str]) -> bytes:
    message = ext_proc_pb2.ProcessingRequest()
    message.protocol_config.request_body_mode = mode.value
    for key, value in headers.items():
        message.request_headers.headers.headers.add(key=key, raw_value=value.encode())
    return message.SerializeToString()


def body(content: bytes) -> bytes:
    message = ext_proc_pb2.ProcessingRequest()
    message.request_body.body = content
    message.request_body.end_of_stream = True
    return message.SerializeToString()


async def ask(
    picker: ExtProcServer, mode: BodyMode, headers: dict[str, str] = HEADERS
) -> list[ext_proc_pb2.ProcessingResponse]:
    """The picker's first two answers."""
    async with grpc.aio.insecure_channel(picker.address) as channel, asyncio.timeout(10):
        call = channel.stream_stream(f"/{EXT_PROC_SERVICE}/Process")()
        await call.write(head(mode, headers))
        await call.write(body(BODY))
        answers = [ext_proc_pb2.ProcessingResponse.FromString(await call.read()) for _ in range(2)]
        await call.done_writing()
        return answers


def headers_set(answers: list[ext_proc_pb2.ProcessingResponse]) -> dict[str, bytes]:
    """What both answers together set."""
    return {
        option.header.key: option.header.raw_value
        for answer in answers
        for part in (answer.request_headers, answer.request_body)
        for option in part.response.header_mutation.set_headers
    }


@pytest.mark.parametrize("mode", [BodyMode.BUFFERED, BodyMode.FULL_DUPLEX_STREAMED])
async def test_another_spelling_of_a_path_is_sent_as_engines_know_it(picker, mode):
    answers = await ask(picker, mode, {**HEADERS, ":path": "/v1/chat%2Fcompletions/?a=%2F"})
    assert headers_set(answers)[":path"] == b"/v1/chat/completions?a=%2F"
    assert ":path" not in headers_set(await ask(picker, mode, {**HEADERS, ":path": f"{CHAT_PATH}?a=b"}))


@pytest.mark.parametrize("mode", [BodyMode.BUFFERED, BodyMode.FULL_DUPLEX_STREAMED])
async def test_what_is_for_the_picker_or_in_the_way_of_usage_reaches_no_model_server(picker, mode):
    answers = await ask(picker, mode)
    removed = set(answers[0].request_headers.response.header_mutation.remove_headers)
    assert {
        "x-gateway-destination-endpoint-foo",
        "x-gateway-destination-endpoint-subset",
        "x-gateway-inference-objective",
        "x-llm-d-inference-objective",
        "x-llm-d-inference-fairness-id",
        "x-llm-d-model-name-rewrite",
        "x-llm-d-slo-ttft-ms",
        "x-encoder-hosts-ports",
        "x-data-parallel-host-port",
        "x-kv-cache-source-host-port",
        "x-pilotage-anything",
        "accept-encoding",
    } <= removed
    assert "x-tier" not in removed
    assert headers_set(answers)["x-gateway-destination-endpoint"] == b"127.0.0.1:1"


@pytest.mark.parametrize("mode", [BodyMode.BUFFERED, BodyMode.FULL_DUPLEX_STREAMED])
async def test_an_answer_that_takes_long_holds_nothing_of_its_requests_body(picker, mode):
    async with grpc.aio.insecure_channel(picker.address) as channel, asyncio.timeout(10):
        call = channel.stream_stream(f"/{EXT_PROC_SERVICE}/Process")()
        await call.write(head(mode, HEADERS))
        await call.write(body(BODY))
        for _ in range(2):
            await call.read()
        assert picker.runtime.processor.open_streams == 1, "the gateway would send the response now"
        while picker.runtime.bodies.held_bytes:
            await asyncio.sleep(0.01)
        assert picker.runtime.bodies.expected_bytes == 0
        await call.done_writing()
