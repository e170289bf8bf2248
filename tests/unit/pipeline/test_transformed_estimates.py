"""Policies that change requests: decisions, budgets and explanations go by what a model gets."""

import json

import pytest
import yaml

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_texts
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.domain.failed_attempt import FailedAttempt
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.recording.explanation import explain
from pilotage_extproc.recording.record import DecisionRecord
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.token_bounds import MOST_COST, TEMPLATE_TOKENS
from pilotage_extproc.server.offline import offline_pipeline
from pilotage_extproc.stages.admit import _ADMITTED

SETTINGS = GatewaySettings(governance={"store": {"valkey": {"address": "127.0.0.1:1"}}})
HARD = {"budgets": [{"per": "policy", "period": "day", "usd": "5", "mode": "hard"}]}
LIMIT = {"limits": [{"per": "policy", "window": "1m", "totalTokens": 100_000}]}
LONG = "word " * 2000


def pool(name, number, window, **more):
    pricing = {"inputPerMillion": "1", "outputPerMillion": "1000"}
    return {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "ModelPool",
        "metadata": {"name": name},
        "spec": {
            "engine": "openai",
            "endpoints": [{"address": f"10.0.0.{number}", "port": 80}],
            "models": [{"name": name, "contextWindow": window, "pricing": pricing, **more}],
        },
    }


async def decided(transform, governance=None, envoy="e", content="hi", **members) -> Exchange:
    """A request of a policy whose candidate has a window of 1,000 tokens, and its fallback one of 100,000."""
    fallback = {"reasons": ["contextOverflow", "serverError"], "to": [{"model": "large"}]}
    policy = {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "RoutePolicy",
        "metadata": {"name": "auto"},
        "spec": {
            "match": {"models": ["auto"]},
            "rules": [{"candidates": [{"model": "small"}], "fallback": fallback}],
            "transform": transform,
            **({"governance": governance} if governance else {}),
        },
    }
    text = yaml.safe_dump_all([pool("small", 1, 1000), pool("large", 2, 100_000), policy])
    found = compile_resources(load_texts([("a.yaml", text)]), SETTINGS)
    assert not found.has_errors, found.findings
    pipeline, _ = await offline_pipeline(found.snapshot, SETTINGS)
    exchange = Exchange(RequestHead("POST", "/v1/chat/completions", {}, envoy=envoy))
    await pipeline.begin(exchange)
    said = {"model": "auto", "messages": [{"role": "user", "content": content}], **members}
    exchange.received(json.dumps(said).encode())
    await pipeline.decide(exchange)
    return exchange


def models(exchange) -> list[str]:
    return [target.upstream_model for target in exchange.decision.targets]


@pytest.mark.parametrize(
    ("transform", "members", "listed"),
    [
        ({"parameters": {"temperature": {"maximum": "1"}}}, {}, ["small", "large"]),
        ({"systemPrompt": {"prefix": LONG}}, {}, ["large"]),
        ({"systemPrompt": {"suffix": LONG}}, {}, ["large"]),
        ({"systemPrompt": {"replace": LONG}}, {}, ["large"]),
        ({"perModel": [{"model": "large", "systemPrompt": {"prefix": LONG}}]}, {}, ["small", "large"]),
        ({"perModel": [{"model": "small", "systemPrompt": {"prefix": LONG}}]}, {}, ["large"]),
        ({"parameters": {"max_tokens": {"maximum": "100"}}}, {"max_tokens": 5000}, ["small", "large"]),
        (
            {"parameters": {"max_tokens": {"maximum": "100"}}},
            {"max_completion_tokens": 5000},
            ["small", "large"],
        ),
        ({"parameters": {"max_tokens": {"default": "5000"}}}, {}, ["large"]),
        ({"parameters": {"max_tokens": {"default": "5000"}}}, {"max_tokens": 10}, ["small", "large"]),
    ],
)
async def test_whether_a_request_fits_a_window_is_told_of_the_request_that_the_model_gets(
    transform, members, listed
):
    assert models(await decided(transform, **members)) == listed


async def test_a_long_system_prompt_that_is_replaced_does_not_count():
    system = [{"role": "system", "content": LONG}, {"role": "user", "content": "hi"}]
    assert models(await decided({"systemPrompt": {"replace": "Brief."}}, messages=system)) == [
        "small",
        "large",
    ]
    assert models(await decided({"systemPrompt": {"prefix": "Brief."}}, messages=system)) == ["large"]


@pytest.mark.parametrize("each", [False, True], ids=["alike", "each on its own"])
async def test_a_hard_budget_holds_what_the_changed_request_can_cost(each):
    shape = {"systemPrompt": {"prefix": "x" * 400}, "parameters": {"max_tokens": {"maximum": "50"}}}
    only = {"perModel": [{"model": "large", "parameters": {"remove": ["top_k"]}}]} if each else {}
    exchange = await decided({**shape, **only}, HARD, max_tokens=500)
    assert exchange.transformed_each is each
    most = exchange.kept(MOST_COST)
    assert most.output_tokens == 50
    plain = len(exchange.body)
    # $1 a million of input, $1,000 a million of output
    assert most.nano - 50 * 1_000_000 >= 1000 * (min(1000, plain + 400 + TEMPLATE_TOKENS))
    assert sent(exchange).get("max_tokens") == 50
    for shaping in exchange.shapings:  # whatever is done for each attempt keeps within what is held
        made = shaping.transform.applied(exchange.call.kind, exchange.new_body) if each else exchange.new_body
        assert json.loads(made)["max_tokens"] <= most.output_tokens


def sent(exchange) -> dict:
    return json.loads(exchange.new_body)


async def test_a_default_bounds_what_a_hard_budget_could_not_hold_otherwise():
    with pytest.raises(RequestRefused) as refused:
        await decided({"parameters": {"temperature": {"maximum": "1"}}}, HARD)
    assert refused.value.reason is Refusal.COST_NOT_BOUNDED
    exchange = await decided({"parameters": {"max_tokens": {"default": "64"}}}, HARD)
    assert exchange.kept(MOST_COST).output_tokens == 64
    assert sent(exchange)["max_tokens"] == 64


async def test_models_that_are_bound_differently_are_held_at_the_larger_bound():
    transform = {
        "parameters": {"max_tokens": {"maximum": "50"}},
        "perModel": [{"model": "large", "parameters": {"max_tokens": {"maximum": "200"}}}],
    }
    exchange = await decided(transform, HARD, max_tokens=500)
    assert exchange.kept(MOST_COST).output_tokens == 200
    # a gateway that sends one body to all attempts sends the first one's
    assert (await decided(transform, HARD, envoy=None, max_tokens=500)).kept(MOST_COST).output_tokens == 50


async def test_a_limit_of_tokens_counts_what_a_policy_adds_and_bounds():
    def held(exchange) -> int:
        [claim] = exchange.kept(_ADMITTED).hold.claims
        return claim.held

    plain = held(await decided({"parameters": {"temperature": {"maximum": "1"}}}, LIMIT, max_tokens=500))
    bound = held(await decided({"parameters": {"max_tokens": {"maximum": "100"}}}, LIMIT, max_tokens=500))
    assert plain - bound == 400
    longer = held(await decided({"systemPrompt": {"prefix": "word " * 100}}, LIMIT, max_tokens=500))
    assert 80 < longer - plain < 200


async def test_the_explanation_tells_each_attempts_shape_and_result():
    transform = {
        "systemPrompt": {"prefix": "Briefly."},
        "parameters": {"max_tokens": {"maximum": "50"}, "temperature": {"maximum": "1"}},
        "perModel": [{"model": "large", "parameters": {"remove": ["top_k", "seed"]}}],
    }
    record = DecisionRecord.of(await decided(transform, max_tokens=500, temperature=0.5, top_k=3), 0.0)
    record.attempt_failed(FailedAttempt(record.id, "10.0.0.1:80", 1, 500))
    record.complete(Outcome(record.id, 200, "10.0.0.2:80", 2, 1.0, 0.1))
    small, large = explain(record, "x")["attempts"]
    assert small["transform"] == {"name": "default/auto/0", "changed": ["systemPrompt", "max_tokens"]}
    assert large["transform"] == {
        "name": "default/auto/1",
        "changed": ["systemPrompt", "max_tokens", "top_k"],
    }
    assert (small["result"], large["result"]) == ("failed", "served")
    assert "Briefly" not in json.dumps(explain(record, "x"))
