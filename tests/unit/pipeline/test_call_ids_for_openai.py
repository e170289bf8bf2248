"""A conversation whose calls a server of one's own has named goes on at OpenAI, untranslated."""

import json

import orjson
import pytest
import yaml

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_texts
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.server.offline import offline_pipeline

OF_VLLM = "chatcmpl-tool-0123456789abcdef0123456789abcdef"
CALL = {"id": OF_VLLM, "type": "function", "function": {"name": "f", "arguments": "{}"}}
SAID = [
    {"role": "user", "content": "hi"},
    {"role": "assistant", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": OF_VLLM, "content": "ok"},
]


def pool(name, place):
    return {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "ModelPool",
        "metadata": {"name": name},
        "spec": {**place, "models": [{"name": name}]},
    }


OWN = pool("own", {"engine": "openai", "endpoints": [{"address": "10.0.0.1", "port": 80}]})


async def decided(*pools, path="/v1/chat/completions", **members) -> Exchange:
    first, *others = [one["metadata"]["name"] for one in pools]
    rule = {"candidates": [{"model": first}]}
    if others:
        rule["fallback"] = {"reasons": ["serverError"], "to": [{"model": name} for name in others]}
    policy = {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "RoutePolicy",
        "metadata": {"name": "auto"},
        "spec": {"match": {"models": ["auto"]}, "rules": [rule]},
    }
    settings = GatewaySettings()
    found = compile_resources(load_texts([("a.yaml", yaml.safe_dump_all([*pools, policy]))]), settings)
    assert not found.has_errors, found.findings
    pipeline, _ = await offline_pipeline(found.snapshot, settings)
    exchange = Exchange(RequestHead("POST", path, {}, envoy="e"))
    await pipeline.begin(exchange)
    said = {} if "input" in members else {"messages": SAID}
    exchange.received(json.dumps({"model": "auto", **said, **members}).encode())
    await pipeline.decide(exchange)
    return exchange


def hosted(dialect):
    azure = {"apiVersion": "2025-04-01"} if dialect == "azure" else {}
    return pool("hosted", {"external": {"host": "api.example.com", "dialect": dialect, **azure}})


@pytest.mark.parametrize("dialect", ["openai", "azure"])
@pytest.mark.parametrize("more", [{}, {"stream": True}, {"stream": True, "stream_options": None}])
async def test_an_id_that_is_too_long_there_is_shortened_for_all_attempts(dialect, more):
    exchange = await decided(OWN, hosted(dialect), **more)
    sent = orjson.loads(exchange.new_body)
    [call] = sent["messages"][1]["tool_calls"]
    assert len(call["id"]) == 37
    assert sent["messages"][2]["tool_call_id"] == call["id"]
    assert call["function"] == CALL["function"]
    assert exchange.skipped == ("callIds: put in OpenAI's form: it takes no more than 40 characters",)


@pytest.mark.parametrize("dialect", ["anthropic", "openai-chat"])
async def test_a_chat_that_never_goes_to_openai_keeps_its_ids(dialect):
    for exchange in (await decided(OWN, hosted(dialect)), await decided(OWN)):
        assert orjson.loads(exchange.new_body)["messages"] == SAID
        assert not exchange.skipped


TOO_LONG = OF_VLLM + "-" + OF_VLLM
RESPONSES_SAID = [
    {"role": "user", "content": TOO_LONG},
    *(
        {"type": "function_call", "call_id": one, "name": "f", "arguments": "{}"}
        for one in (TOO_LONG, OF_VLLM)
    ),
    *({"type": "function_call_output", "call_id": one, "output": one} for one in (TOO_LONG, OF_VLLM)),
]


@pytest.mark.parametrize("dialect", ["openai", "azure"])
async def test_responses_have_ids_of_64_characters_at_most(dialect):
    exchange = await decided(OWN, hosted(dialect), path="/v1/responses", input=RESPONSES_SAID, store=False)
    sent = orjson.loads(exchange.new_body)["input"]
    assert len(sent[1]["call_id"]) == 37
    assert sent[3] == {**RESPONSES_SAID[3], "call_id": sent[1]["call_id"]}
    assert [sent[0], sent[2], sent[4]] == [RESPONSES_SAID[0], RESPONSES_SAID[2], RESPONSES_SAID[4]]
    assert exchange.skipped == ("callIds: put in OpenAI's form: it takes no more than 64 characters",)


@pytest.mark.parametrize("dialect", ["anthropic", "openai-chat"])
async def test_responses_that_never_go_to_openai_keep_their_ids(dialect):
    exchange = await decided(OWN, hosted(dialect), path="/v1/responses", input=RESPONSES_SAID, store=False)
    assert orjson.loads(exchange.new_body)["input"] == RESPONSES_SAID
    assert not exchange.skipped


async def test_ids_that_stay_in_a_request_of_too_many_parts_are_told():
    many = {"role": "user", "content": [{"type": "text", "text": "x", "more": ["x"] * 210_000}]}
    exchange = await decided(OWN, hosted("openai"), messages=[many, *SAID])
    assert orjson.loads(exchange.new_body)["messages"] == [many, *SAID]
    [told] = exchange.skipped
    assert told.startswith("callIds: left as they are: the request has too many parts")
