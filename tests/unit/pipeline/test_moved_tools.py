"""What a provider's hop is told of tools that rules took out, whatever the list of attempts."""

import json

import pytest
import yaml

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_texts
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.server.offline import offline_pipeline
from pilotage_extproc.stages.prepare import MOVED

DENIED = {"tools": [{"deny": ["delete_*"], "providerRun": ["mcp/good"]}]}


def resource(kind, name, spec):
    return {"apiVersion": "pilotage.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def hosted(name):
    external = {"host": f"{name}.example.com", "dialect": "anthropic"}
    return resource("ModelPool", name, {"external": external, "models": [{"name": name}]})


async def decided(models, path="/v1/chat/completions", **members) -> Exchange:
    first, *others = models
    rule = {"candidates": [{"model": first}]}
    if others:
        rule["fallback"] = {"reasons": ["serverError"], "to": [{"model": name} for name in others]}
    spec = {"match": {"models": ["auto"]}, "rules": [rule], "governance": DENIED}
    text = yaml.safe_dump_all([*map(hosted, models), resource("RoutePolicy", "auto", spec)])
    compiled = compile_resources(load_texts([("all.yaml", text)]), GatewaySettings())
    assert not compiled.has_errors, compiled.findings
    pipeline, _ = await offline_pipeline(compiled.snapshot, GatewaySettings())
    exchange = Exchange(RequestHead("POST", path, {}, envoy="envoy-1"))
    await pipeline.begin(exchange)
    messages = [{"role": "user", "content": "hi"}]
    exchange.received(json.dumps({"model": "auto", "messages": messages, **members}).encode())
    await pipeline.decide(exchange)
    return exchange


NAMES = ("delete_all", "look", "delete_one", "find")


@pytest.mark.parametrize("models", [["one"], ["one", "another"]])
async def test_places_of_tools_are_told_for_one_provider_and_for_several(models):
    tools = [{"type": "function", "function": {"name": name}} for name in NAMES]
    exchange = await decided(models, tools=tools)
    assert exchange.kept(MOVED) == "tools 0 0,2"


async def test_places_of_functions_are_told_beside_those_of_tools():
    tools = [{"type": "function", "function": {"name": name}} for name in NAMES[1:]]
    exchange = await decided(["one"], tools=tools, functions=[{"name": name} for name in NAMES])
    assert exchange.kept(MOVED) == "tools 0 1; functions 0 0,2"


async def test_places_of_mcp_servers_are_told():
    servers = [{"type": "url", "name": name, "url": f"https://{name}.example"} for name in ("bad", "good")]
    exchange = await decided(["one"], "/v1/messages", max_tokens=9, mcp_servers=servers)
    assert json.loads(exchange.new_body)["mcp_servers"] == servers[1:]
    assert exchange.kept(MOVED) == "mcp_servers 0 0"
