"""What a hard budget holds for a list of attempts, some of them at hosted providers."""

import json

import yaml

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_texts
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.domain.outcome import Outcome, TokenUsage
from pilotage_extproc.domain.providers import is_provider
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.token_bounds import MOST_COST
from pilotage_extproc.server.offline import offline_pipeline

SETTINGS = GatewaySettings(governance={"store": {"valkey": {"address": "127.0.0.1:1"}}})
HARD = {"budgets": [{"per": "policy", "period": "day", "usd": "50", "mode": "hard"}]}
OUTPUT = 500
USD = {"own": 1, "spare": 3, "hosted": 10, "other": 20}
"""Dollars for a million of output."""


def pool(name):
    facts = {"contextWindow": 1000, "pricing": {"inputPerMillion": "0", "outputPerMillion": str(USD[name])}}
    external = {"external": {"host": f"{name}.example.com"}}
    place = {"engine": "openai", "endpoints": [{"address": f"10.0.{len(name)}.1", "port": 80}]}
    return {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "ModelPool",
        "metadata": {"name": name},
        "spec": {
            **(external if name in ("hosted", "other") else place),
            "models": [{"name": name, **facts}],
        },
    }


async def decided(*models: str):
    first, *others = models
    fallback = {"reasons": ["serverError"], "to": [{"model": name} for name in others]}
    rule = {"candidates": [{"model": first}], **({"fallback": fallback} if others else {})}
    policy = {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "RoutePolicy",
        "metadata": {"name": "auto"},
        "spec": {"match": {"models": ["auto"]}, "rules": [rule], "governance": HARD},
    }
    text = yaml.safe_dump_all([*map(pool, models), policy])
    found = compile_resources(load_texts([("a.yaml", text)]), SETTINGS)
    assert not found.has_errors, found.findings
    pipeline, state = await offline_pipeline(found.snapshot, SETTINGS)
    exchange = Exchange(RequestHead("POST", "/v1/chat/completions", {}, envoy="e"))
    await pipeline.begin(exchange)
    messages = [{"role": "user", "content": "hi"}]
    exchange.received(json.dumps({"model": "auto", "messages": messages, "max_tokens": OUTPUT}).encode())
    await pipeline.decide(exchange)
    assert [one.upstream_model for one in exchange.decision.targets] == list(models)
    return exchange, pipeline, state.accounting.memory


async def test_each_provider_of_a_list_may_bill_its_attempt():
    exchange, _, books = await decided("hosted", "other")
    assert exchange.kept(MOST_COST).nano == books.figures()[2] == OUTPUT * (10 + 20) * 1000


async def test_of_own_servers_the_dearest_is_held_beside_what_providers_may_bill():
    _, _, books = await decided("own", "spare", "hosted")
    assert books.figures()[2] == OUTPUT * (3 + 10) * 1000
    _, _, books = await decided("own", "spare")
    assert books.figures()[2] == OUTPUT * 3 * 1000


async def test_a_stream_that_its_client_cuts_at_a_provider_is_booked_at_what_it_may_have_cost():
    exchange, pipeline, books = await decided("own", "hosted")
    hosted = next(one.address for one in exchange.decision.targets if is_provider(one.address))
    exchange.release()
    pipeline.settle(Outcome(exchange.decision.id, 200, hosted, 2, 1.0, 0.1, counted_output=3))
    assert books.figures() == (0, OUTPUT * 10 * 1000, 0)


async def test_a_usage_beyond_the_windows_is_booked_as_one_window_for_each_choice():
    exchange, pipeline, books = await decided("own", "spare")
    address = exchange.decision.targets[0].address
    usage = TokenUsage(5, 10**11)
    pipeline.settle(Outcome(exchange.decision.id, 200, address, 1, 1.0, 0.1, usage=usage))
    assert books.figures() == (0, 1000 * 1000, 0)
