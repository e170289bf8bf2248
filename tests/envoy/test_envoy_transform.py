"""Requests changed as their policy asks for each model: real picker, real Envoy, attempts at other models."""

import json

import pytest
from envoy_rig import fixed
from hosted_pools import LOOPBACK, hosted_pool
from whole_gateway import WholeGateway

GOOD = fixed(200, json.dumps({"choices": [{"message": {"role": "assistant", "content": "ok"}}]}).encode())
FAILING = fixed(503, b"{}")
TRANSFORM = {
    "systemPrompt": {"prefix": "Answer briefly."},
    "parameters": {"temperature": {"maximum": "1.0"}, "max_tokens": {"maximum": "100"}},
    "perModel": [
        {
            "model": "spare",
            "systemPrompt": {"replace": "You are the spare."},
            "parameters": {"temperature": {"maximum": "0.5"}, "remove": ["top_k"]},
        },
        {"model": "hosted-*", "parameters": {"max_tokens": {"default": "50"}, "remove": ["top_k"]}},
    ],
}
MESSAGES = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hello"}]
ASKED = {"messages": MESSAGES, "temperature": 1.5, "top_k": 4}
FALLBACK = {"reasons": ["serverError", "connect"]}


@pytest.fixture
async def start_gateway(tmp_path):
    gateways = []

    async def start(pools, to, *, transform=TRANSFORM, **more) -> WholeGateway:
        rule = {"fallback": {**FALLBACK, "to": [{"model": one} for one in to]}} if to else {}
        spec = {"transform": transform} if transform else {}
        gateway = WholeGateway(tmp_path / f"g{len(gateways)}", pools, rule, spec=spec, **more)
        gateways.append(gateway)
        await gateway.start()
        return gateway

    yield start
    for gateway in gateways:
        await gateway.stop()


def sent(server) -> dict:
    """The last request that a server got."""
    got = server.received[-1]
    assert int(got.headers["content-length"]) == len(got.body)
    return json.loads(got.body)


async def test_a_fallback_to_another_model_gets_that_models_shape(start_gateway, start_server):
    first, spare = await start_server(FAILING), await start_server(GOOD)
    gateway = await start_gateway({"first": [first], "spare": [spare]}, ["spare"])
    status, _, _ = await gateway.chat(**ASKED)
    assert status == 200
    assert sent(first) == {
        "model": "first",
        "messages": [{"role": "system", "content": "Answer briefly.\n\nBe kind."}, MESSAGES[1]],
        "temperature": 1.0,
        "top_k": 4,
        "max_tokens": 100,
    }
    assert sent(spare) == {
        "model": "spare",
        "messages": [{"role": "system", "content": "You are the spare."}, MESSAGES[1]],
        "temperature": 0.5,
        "max_tokens": 100,
    }
    assert gateway.runtime.telemetry.rewritten_attempts.value() == 2


async def test_every_attempt_of_a_stream_asks_for_usage_and_has_its_shape(start_gateway, start_server):
    first, spare = await start_server(FAILING), await start_server(GOOD)
    gateway = await start_gateway({"first": [first], "spare": [spare]}, ["spare"])
    await gateway.chat(**ASKED, stream=True)
    for server, limit in ((first, 1.0), (spare, 0.5)):
        got = sent(server)
        assert got["stream_options"] == {"include_usage": True}
        assert got["temperature"] == limit


async def test_a_provider_gets_its_models_shape_in_its_own_api(start_gateway, start_server, stub):
    first = await start_server(FAILING)
    gateway = await start_gateway(
        {"first": [first]},
        ["hosted-strong"],
        documents=[hosted_pool("claude", stub, "anthropic", model={"aliases": ["hosted-strong"]})],
        **LOOPBACK,
    )
    await gateway.until_usable("claude")
    await gateway.chat(messages=MESSAGES[1:], temperature=1.5)
    assert sent(first)["messages"][0] == {"role": "system", "content": "Answer briefly."}
    assert sent(first)["max_tokens"] == 100
    got = sent(stub)
    assert stub.received[-1].path == "/v1/messages"
    assert got["model"] == "claude"
    assert got["max_tokens"] == 50
    assert got["temperature"] == 1.0
    assert got["messages"] == [{"role": "user", "content": "hello"}] or got["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "hello"}]}
    ]
    assert "Answer briefly." in json.dumps(got["system"])


async def test_models_of_one_shape_get_it_once_on_every_attempt(start_gateway, start_server):
    first, spare = await start_server(FAILING), await start_server(GOOD)
    transform = {"systemPrompt": {"prefix": "Answer briefly."}}
    gateway = await start_gateway({"first": [first], "spare": [spare]}, ["spare"], transform=transform)
    await gateway.chat(messages=MESSAGES)
    for server in (first, spare):
        assert sent(server)["messages"][0]["content"] == "Answer briefly.\n\nBe kind."
    assert gateway.runtime.telemetry.rewritten_attempts.value() == 1, "the second, for its model's name"


async def test_a_parameter_that_passes_for_a_number_is_refused_before_any_server_is_asked(
    start_gateway, start_server
):
    first, spare = await start_server(GOOD), await start_server(GOOD)
    gateway = await start_gateway({"first": [first], "spare": [spare]}, ["spare"])
    status, _, body = await gateway.chat(messages=MESSAGES, temperature="9")
    assert status == 400
    assert json.loads(body)["error"]["param"] == "temperature"
    assert not first.received
