"""Which rule a request follows: conditions, overrides, and what becomes of it where none holds."""

import json
import logging

import orjson
import pytest

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_texts
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.pipeline.pipeline import Pipeline
from pilotage_extproc.recording.explanation import explain
from pilotage_extproc.recording.record import DecisionRecord
from pilotage_extproc.server.offline import offline_pipeline

POOLS = """
apiVersion: pilotage.dev/v1alpha1
kind: ModelPool
metadata: {name: small}
spec: {engine: openai, endpoints: [{address: 10.0.0.1, port: 80}], models: [{name: small}]}
---
apiVersion: pilotage.dev/v1alpha1
kind: ModelPool
metadata: {name: strong}
spec: {engine: openai, endpoints: [{address: 10.0.0.2, port: 80}], models: [{name: strong}]}
"""
HEAD = """
---
apiVersion: pilotage.dev/v1alpha1
kind: RoutePolicy
metadata: {name: NAME}
spec:
  match: MATCH
"""


def policy(name: str, rules: str, match: str = "{models: [auto]}") -> str:
    body = "\n".join("  " + line for line in rules.strip().splitlines())
    return HEAD.replace("NAME", name).replace("MATCH", match) + body


TURNS = """
otherwise: refuse
rules:
- name: long
  when: request.turns > 2
  candidates: [{model: strong}]
- name: tools
  when: '"search" in request.toolNames && headers["x-tier"] == "gold"'
  candidates: [{model: strong}]
- name: short
  when: request.turns == 1 && !request.stream
  candidates: [{model: small}]
"""


async def pipeline_of(*policies: str) -> Pipeline:
    settings = GatewaySettings()
    compiled = compile_resources(load_texts([("all.yaml", POOLS + "".join(policies))]), settings)
    assert not compiled.has_errors, compiled.findings
    pipeline, _ = await offline_pipeline(compiled.snapshot, settings)
    return pipeline


async def decided(pipeline: Pipeline, body: dict | None = None, **headers: str) -> DecisionRecord:
    head = RequestHead("POST", "/v1/chat/completions", {k.replace("_", "-"): v for k, v in headers.items()})
    message = {"role": "user", "content": "hi"}
    return await pipeline.consider(
        head, orjson.dumps({"model": "auto", "messages": [message], **(body or {})})
    )


def turns(count: int) -> dict:
    return {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}] * count}


SEARCH = {"tools": [{"type": "function", "function": {"name": "search"}}]}


@pytest.mark.parametrize(
    ("body", "headers", "rule"),
    [
        (turns(3), {}, "long"),
        ({}, {}, "short"),
        ({**SEARCH}, {"x_tier": "gold"}, "tools"),
        ({**SEARCH}, {"x_tier": "iron"}, "short"),
        ({**SEARCH}, {}, "short"),
    ],
)
async def test_the_first_rule_that_holds_wins(body, headers, rule):
    record = await decided(await pipeline_of(policy("p", TURNS)), body, **headers)
    assert record.route.rule == rule


async def test_a_request_for_which_no_rule_holds_is_refused():
    with pytest.raises(RequestRefused) as refused:
        await decided(await pipeline_of(policy("p", TURNS)), {**turns(2), **SEARCH})
    assert refused.value.reason is Refusal.NO_RULE_MATCHED
    told = 'Rules tried: long: no; tools: missing_header: headers["x-tier"]; short: no.'
    assert refused.value.message.endswith(told)


async def test_a_refusal_tells_of_so_many_rules_and_counts_the_others():
    rules = "\n".join(
        f"- {{name: r{number}, when: request.turns > {number + 50}, candidates: [{{model: small}}]}}"
        for number in range(20)
    )
    with pytest.raises(RequestRefused) as refused:
        await decided(await pipeline_of(policy("p", f"rules:\n{rules}")))
    assert refused.value.message.endswith("r14: no; r15: no; and 4 more.")


@pytest.mark.parametrize("limit", ["5", 5.5, True, 10**25], ids=repr)
async def test_a_condition_on_a_limit_that_is_no_number_of_tokens_does_not_hold(limit):
    rules = "rules:\n- {name: low, when: request.maxTokens < 9, candidates: [{model: small}]}\n"
    rules += "- {name: rest, candidates: [{model: strong}]}"
    body = b'{"model":"auto","messages":[{"role":"user"}],"max_tokens":%b}' % json.dumps(limit).encode()
    head = RequestHead("POST", "/v1/chat/completions", {})
    record = await (await pipeline_of(policy("p", rules))).consider(head, body)
    assert record.route.rule == "rest"
    assert record.trials[0].reason == "unknown_value: request.maxTokens"


async def test_a_value_that_cannot_be_told_is_unknown_and_the_request_goes_on(monkeypatch, caplog):
    from pilotage_extproc.rules import readings

    def fails(exchange: object) -> object:
        raise KeyError("text of the request")

    monkeypatch.setattr(readings, "_OF_REQUEST", {**readings._OF_REQUEST, "request.turns": fails})
    rules = "rules:\n- {name: low, when: request.turns < 9, candidates: [{model: small}]}\n"
    rules += "- {name: rest, candidates: [{model: strong}]}"
    with caplog.at_level(logging.DEBUG, "pilotage_extproc.rules.readings"):
        record = await decided(await pipeline_of(policy("p", rules)))
    assert (record.route.rule, record.trials[0].reason) == ("rest", "unknown_value: request.turns")
    assert [one.error for one in caplog.records] == ["KeyError"]
    assert "text of the request" not in caplog.text


async def test_a_conversation_of_more_parts_than_are_looked_at_has_an_unknown_number_of_images():
    rules = "rules:\n- {name: seen, when: request.images == 0, candidates: [{model: small}]}\n"
    rules += "- {name: rest, candidates: [{model: strong}]}"
    pipeline = await pipeline_of(policy("p", rules))
    for parts, rule in ((5, "seen"), (20_000, "rest")):
        content = [{"type": "text", "text": ""}] * parts
        record = await decided(pipeline, {"messages": [{"role": "user", "content": content}]})
        assert record.route.rule == rule


async def test_or_goes_to_the_next_policy_and_then_to_the_name():
    next_one = policy("a", TURNS.replace("refuse", "next"))
    later = policy("b", "rules:\n- name: later\n  candidates: [{model: small}]", "{models: ['a*']}")
    record = await decided(await pipeline_of(next_one, later), turns(2))
    assert (record.route.policy, record.route.rule) == ("default/b", "later")
    assert [(trial.rule, trial.holds) for trial in record.trials] == [
        ("long", False),
        ("tools", False),
        ("short", False),
    ]
    with pytest.raises(RequestRefused) as refused:
        await decided(await pipeline_of(next_one), turns(2))
    assert refused.value.reason is Refusal.MODEL_NOT_FOUND


async def test_the_explanation_shows_each_rule_that_was_tried_and_no_text_of_the_request():
    record = await decided(await pipeline_of(policy("p", TURNS)), {**SEARCH}, x_secret_tier="gold")
    shown = explain(record, "x")["rulesTried"]
    assert shown == [
        {"policy": "default/p", "rule": "long", "holds": False, "reason": None},
        {
            "policy": "default/p",
            "rule": "tools",
            "holds": False,
            "reason": 'missing_header: headers["x-tier"]',
        },
        {"policy": "default/p", "rule": "short", "holds": True, "reason": None},
    ]


OVERRIDES = """
overrides: {header: x-rule, rules: [canary]}
rules:
- name: canary
  when: 'false'
  candidates: [{model: strong}]
- name: rest
  candidates: [{model: small}]
"""


@pytest.mark.parametrize(("value", "rule"), [("canary", "canary"), ("rest", "rest"), ("other", "rest")])
async def test_a_header_may_choose_among_the_rules_it_is_let(value, rule):
    record = await decided(await pipeline_of(policy("p", OVERRIDES)), x_rule=value)
    assert record.route.rule == rule


SPLIT = """
rules:
- stickyBy: x-user
  candidates: [{model: small, weight: 1}, {model: strong, weight: 1}]
"""


async def test_a_split_is_the_same_for_the_same_user():
    pipeline = await pipeline_of(policy("p", SPLIT))
    chosen = {}
    for user in range(40):
        picks = {(await decided(pipeline, x_user=f"u{user}")).addresses()[0] for _ in range(3)}
        assert len(picks) == 1
        chosen[user] = picks.pop()
    assert set(chosen.values()) == {"10.0.0.1:80", "10.0.0.2:80"}


async def test_a_policy_of_one_rule_without_a_condition_tries_nothing():
    record = await decided(await pipeline_of(policy("p", "rules:\n- candidates: [{model: small}]")))
    assert record.trials == ()


async def test_values_are_computed_once_however_many_rules_read_them(monkeypatch):
    rules = "\n".join(
        f"- {{name: r{number}, when: request.turns > {number + 1}, candidates: [{{model: small}}]}}"
        for number in range(8)
    )
    pipeline = await pipeline_of(policy("p", f"rules:\n{rules}\n- candidates: [{{model: strong}}]"))
    asked = []
    from pilotage_extproc.rules import readings

    real = readings._OF_REQUEST["request.turns"]
    counting = {**readings._OF_REQUEST, "request.turns": lambda one: asked.append(1) or real(one)}
    monkeypatch.setattr(readings, "_OF_REQUEST", counting)
    record = await decided(pipeline)
    assert record.route.models == ("strong",)
    assert len(asked) == 1
