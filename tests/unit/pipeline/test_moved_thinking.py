"""What a provider's hop is told of thinking that was taken out of messages for Anthropic."""

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
from pilotage_extproc.stages.prepare import MOVED

USER = {"role": "user", "content": "hi"}
THINKING = {"type": "thinking", "thinking": "hm", "signature": ""}
TEXT = {"type": "text", "text": "yes"}
SAID = [
    USER,
    {"role": "assistant", "content": [THINKING]},
    {"role": "system", "content": "x"},
    {"role": "assistant", "content": [THINKING, TEXT, THINKING]},
    USER,
]


def resource(kind, name, spec):
    return {"apiVersion": "pilotage.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


async def decided(dialects, said, path="/v1/messages", **policy) -> Exchange:
    pools = [
        resource(
            "ModelPool",
            dialect,
            {
                "external": {"host": f"{dialect}.example.com", "dialect": dialect},
                "models": [{"name": dialect}],
            },
        )
        for dialect in dialects
    ]
    first, *others = dialects
    rule = {"candidates": [{"model": first}]}
    if others:
        rule["fallback"] = {"reasons": ["serverError"], "to": [{"model": name} for name in others]}
    spec = {"match": {"models": ["auto"]}, "rules": [rule], **policy}
    text = yaml.safe_dump_all([*pools, resource("RoutePolicy", "auto", spec)])
    compiled = compile_resources(load_texts([("all.yaml", text)]), GatewaySettings())
    assert not compiled.has_errors, compiled.findings
    pipeline, _ = await offline_pipeline(compiled.snapshot, GatewaySettings())
    exchange = Exchange(RequestHead("POST", path, {}, envoy="envoy-1"))
    await pipeline.begin(exchange)
    exchange.received(json.dumps({"model": "auto", "max_tokens": 9, "messages": said}).encode())
    await pipeline.decide(exchange)
    return exchange


@pytest.mark.parametrize("dialects", [["anthropic"], ["anthropic", "openai"], ["openai", "anthropic"]])
async def test_places_of_thinking_are_told_for_one_provider_and_for_several(dialects):
    exchange = await decided(dialects, SAID)
    sent = orjson.loads(exchange.new_body)["messages"]
    assert sent == [USER, SAID[2], {"role": "assistant", "content": [TEXT]}, USER]
    assert exchange.kept(MOVED) == "thinking 1,3.0,3.2"


async def test_what_a_policy_moves_after_thinking_is_told_before_it():
    changes = {"transform": {"systemPrompt": {"replace": "Be brief."}}}
    exchange = await decided(["anthropic", "openai"], SAID, **changes)
    sent = orjson.loads(exchange.new_body)["messages"]
    assert sent == [USER, {"role": "assistant", "content": [TEXT]}, USER]
    assert exchange.kept(MOVED) == "messages 0 1; thinking 1,3.0,3.2"


async def test_where_no_thinking_goes_nothing_is_told():
    exchange = await decided(["anthropic", "openai"], [USER])
    assert not exchange.kept(MOVED)
    exchange = await decided(["openai"], SAID)
    assert not exchange.kept(MOVED)


async def test_what_is_counted_has_no_more_thinking_than_what_would_be_sent():
    exchange = await decided(["anthropic"], SAID, path="/v1/messages/count_tokens")
    sent = orjson.loads(exchange.new_body)["messages"]
    assert sent == [USER, SAID[2], {"role": "assistant", "content": [TEXT]}, USER]
    assert exchange.kept(MOVED) == "thinking 1,3.0,3.2"


async def test_thinking_that_stays_in_a_request_of_too_many_parts_is_told():
    many = {"role": "user", "content": [{"type": "text", "text": "x", "more": ["x"] * 210_000}]}
    exchange = await decided(["anthropic"], [many, *SAID])
    assert orjson.loads(exchange.new_body)["messages"] == [many, *SAID]
    assert not exchange.kept(MOVED)
    [told] = exchange.skipped
    assert told.startswith("thinking: left as it is: the request has too many parts")
