"""Decisions of rules with a fallback: whole requests, from their bytes to the list of attempts."""

import json
from dataclasses import replace

import pytest
import yaml

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_texts
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.domain.clock import monotonic
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.domain.refusals import RequestRefused
from pilotage_extproc.recording.explanation import explain
from pilotage_extproc.server.offline import offline_pipeline

POOLS = """
apiVersion: pilotage.dev/v1alpha1
kind: ModelPool
metadata: {name: small}
spec:
  engine: openai
  endpoints: [{address: 10.0.0.1, port: 80}, {address: 10.0.0.2, port: 80}]
  models: [{name: small, contextWindow: 1000, capabilities: [json]}]
---
apiVersion: pilotage.dev/v1alpha1
kind: ModelPool
metadata: {name: strong}
spec:
  engine: openai
  endpoints: [{address: 10.0.1.1, port: 80}]
  models: [{name: strong, contextWindow: 100000, capabilities: [json, tools, vision]}]
---
apiVersion: pilotage.dev/v1alpha1
kind: ModelPool
metadata: {name: unknown}
spec:
  engine: openai
  endpoints: [{address: 10.0.2.1, port: 80}]
  models: [{name: unknown}]
"""
TOOL = {"type": "function", "function": {"name": "f"}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}


HEAD = RequestHead("POST", "/v1/chat/completions", {"content-type": "application/json"}, envoy="envoy-1")


async def pipeline_of(rule):
    """A pipeline that follows a policy of this one rule, and its state."""
    policy = {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "RoutePolicy",
        "metadata": {"name": "auto"},
        "spec": {"match": {"models": ["auto"]}, "rules": [{"candidates": [{"model": "small"}], **rule}]},
    }
    loaded = load_texts([("all.yaml", POOLS + "---\n" + yaml.safe_dump(policy))])
    assert not loaded.findings
    snapshot = compile_resources(loaded, GatewaySettings()).snapshot
    return await offline_pipeline(snapshot, GatewaySettings())


def body_of(members=()) -> bytes:
    said = {"model": "auto", "messages": [{"role": "user", "content": "hi"}], **dict(members)}
    if "input" in said:
        del said["messages"]
    return json.dumps(said).encode()


async def decided(rule, members=(), path="/v1/chat/completions", **headers):
    """The record of a request of this rule, decided now."""
    pipeline, _ = await pipeline_of(rule)
    head = RequestHead("POST", path, {"content-type": "application/json", **headers}, envoy="envoy-1")
    return await pipeline.consider(head, body_of(members))


def to_strong(*reasons: str):
    return {"fallback": {"reasons": list(reasons), "to": [{"model": "strong"}]}}


def models(record) -> list[str]:
    """The models of the list, in order, each once."""
    return list(dict.fromkeys(one["model"] for one in explain(record, "x")["attempts"]))


LONG = {"messages": [{"role": "user", "content": "word " * 2000}]}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (LONG, "contextOverflow"),
        ({"max_tokens": 1000}, "contextOverflow"),
        ({"tools": [TOOL]}, "capability"),
        ({"messages": [{"role": "user", "content": [PICTURE]}]}, "capability"),
    ],
)
async def test_what_the_candidate_cannot_serve_goes_to_the_fallback_alone(body, reason):
    record = await decided(to_strong(reason), body)
    assert models(record) == ["strong"]
    assert explain(record, "x")["passedOver"] == [{"model": "small", "reason": reason, "leftOut": True}]
    assert models(await decided(to_strong("connect"), body)) == ["small", "strong"], "not listed"


@pytest.mark.parametrize("body", [{}, {"max_tokens": 100}, {"response_format": SCHEMA}, {"tools": []}])
async def test_what_the_candidate_can_serve_stays_there(body):
    record = await decided(to_strong("capability", "unavailable"), body)
    assert models(record) == ["small"]
    assert explain(record, "x")["passedOver"] == []


@pytest.mark.parametrize(("prompts", "asked"), [(8, "small"), (1, "strong")])
async def test_each_prompt_of_a_list_has_a_window_of_its_own(prompts, asked):
    """The candidate's window has 1,000 tokens: room for each of eight texts, not for all of them in one."""
    words = "word " * (1600 // prompts)
    rule = to_strong("contextOverflow")
    for path, name in (("/v1/completions", "prompt"), ("/v1/embeddings", "input")):
        assert models(await decided(rule, {name: [words] * prompts}, path))[0] == asked


async def test_a_model_of_which_nothing_is_known_counts_as_able():
    rule = {"candidates": [{"model": "unknown"}], **to_strong("contextOverflow", "capability")}
    assert models(await decided(rule, {**LONG, "tools": [TOOL]}))[0] == "unknown"


async def test_an_answer_that_no_model_has_room_for_is_asked_of_the_candidate():
    assert models(await decided(to_strong("contextOverflow"), {"max_tokens": 10**6})) == ["small", "strong"]


@pytest.mark.parametrize(
    ("path", "body", "acts"),
    [
        ("/v1/responses", {"input": "hi", "background": True}, True),
        ("/v1/responses", {"input": "hi", "store": True}, True),
        ("/v1/responses", {"input": "hi", "store": False}, False),
        ("/v1/responses", {"input": "hi", "tools": [{"type": "web_search"}]}, True),
        ("/v1/responses", {"input": "hi", "tools": [{"type": "function", "name": "f"}]}, False),
        ("/v1/chat/completions", {"store": True}, True),
        ("/v1/chat/completions", {"web_search_options": {}}, True),
        ("/v1/chat/completions", {"tools": [TOOL]}, False),
        ("/v1/chat/completions", {"tools": "none"}, False),
        ("/v1/messages", {"max_tokens": 9, "tools": [{"name": "f", "input_schema": {}}]}, False),
        ("/v1/messages", {"max_tokens": 9, "tools": [{"type": "bash_20250124", "name": "bash"}]}, False),
        ("/v1/messages", {"max_tokens": 9, "tools": [{"type": "web_search_20250305"}]}, True),
        ("/v1/messages", {"max_tokens": 9, "mcp_servers": [{}]}, True),
    ],
)
async def test_a_call_with_side_effects_leads_on_only_where_no_server_has_got_it(path, body, acts):
    for rule in (to_strong("serverError", "rateLimited"), {}):
        leads_on = explain(await decided(rule, body, path), "x")["limits"]["leadsOn"]
        usual = ["connect", "rateLimited", "serverError"] if rule else None
        assert leads_on == (["connect"] if acts else usual)


async def test_a_rule_with_reasons_of_the_decision_alone_keeps_the_usual_failures():
    assert explain(await decided(to_strong("unavailable")), "x")["limits"]["leadsOn"] is None


async def test_the_first_token_is_bound_for_streams_alone():
    rule = {**to_strong("firstToken"), "timeouts": {"firstToken": "5s", "idle": "60s"}}
    found = explain(await decided(rule, {"stream": True}), "x")["limits"]
    assert (found["firstTokenSeconds"], found["idleSeconds"]) == (5, 60)
    assert explain(await decided(rule), "x")["limits"]["firstTokenSeconds"] is None


@pytest.mark.parametrize(
    ("reason", "members", "share"),
    [
        ("firstToken", {}, 10),
        ("firstToken", {"stream": True}, None),
        ("firstToken", {"store": True}, None),
        ("serverError", {}, None),
    ],
)
async def test_answers_without_streams_share_out_the_whole_time_where_late_attempts_lead_on(
    reason, members, share
):
    rule = {**to_strong(reason), "timeouts": {"total": "30s"}}
    pipeline, _ = await pipeline_of(rule)
    record = await pipeline.consider(replace(HEAD, received_at=monotonic()), body_of(members))
    assert len(record.order) == 3
    assert explain(record, "x")["limits"]["attemptSeconds"] == (
        None if share is None else pytest.approx(10, rel=0.1)
    )


async def test_a_single_attempt_has_all_the_time():
    rule = {**to_strong("firstToken", "contextOverflow"), "timeouts": {"total": "30s"}}
    record = await decided(rule, LONG)
    assert len(record.order) == 1
    assert explain(record, "x")["limits"]["attemptSeconds"] is None


HEADER = "x-pilotage-timeout-ms"
RENAMED = "pilotage-timeout-ms"


@pytest.mark.parametrize(
    ("times", "said", "most"),
    [
        ({"total": "10s"}, {HEADER: "500"}, 10),
        ({"total": "10s", "clientMayShorten": True}, {HEADER: "500"}, 0.5),
        ({"total": "10s", "clientMayShorten": True}, {RENAMED: "500"}, 0.5),
        ({"total": "10s", "clientMayShorten": True}, {HEADER: "20000"}, 10),
        ({"clientMayShorten": True}, {HEADER: "20000"}, 20),
        ({"clientMayShorten": True}, {}, None),
    ],
)
async def test_a_client_shortens_the_whole_time_where_its_rule_lets_it(times, said, most):
    record = await decided({"timeouts": times}, (), **said)
    deadline = record.limits.deadline
    assert deadline is None if most is None else deadline == pytest.approx(most)


@pytest.mark.parametrize("said", ["0", "-1", "1.5", "1e3", "soon", "²", "99999999999", "86400001"])
async def test_a_deadline_that_is_no_number_is_refused_with_its_name(said):
    with pytest.raises(RequestRefused) as refused:
        await decided({"timeouts": {"clientMayShorten": True}}, (), **{HEADER: said})
    assert (refused.value.reason.http_status, refused.value.param) == (400, HEADER)


async def test_retries_at_a_pool_that_has_had_enough_are_left_out():
    rule = to_strong("connect")
    pipeline, state = await pipeline_of(rule)
    assert models(await pipeline.consider(HEAD, body_of())) == ["small", "strong"]
    for _ in range(200):
        state.budget.retried("default/strong", monotonic())
    record = await pipeline.consider(HEAD, body_of())
    assert models(record) == ["small"]
    assert "retry: the budget of default/strong is spent" in record.skipped


OBJECTIVE = {
    "candidates": [{"model": "small"}, {"model": "unknown"}],
    "objective": {"weights": {"quality": 1}},
}


async def test_an_objective_compares_the_candidates_and_the_fallback_comes_behind_them():
    record = await decided({**OBJECTIVE, **to_strong("connect")})
    found = models(record)
    assert set(found[:-1]) == {"small", "unknown"}
    assert found[-1] == "strong"
    assert "strong" not in models(await decided({**OBJECTIVE, **to_strong("unavailable")}))


async def test_what_no_candidate_of_an_objective_can_serve_goes_to_the_fallback():
    rule = {**OBJECTIVE, "candidates": [{"model": "small"}], **to_strong("capability")}
    record = await decided(rule, {"tools": [TOOL]})
    assert models(record) == ["strong"]
    assert [(one["model"], one["reason"]) for one in explain(record, "x")["passedOver"]] == [
        ("small", "capability")
    ]
