"""Rules with an objective, from the body to the edits of the first attempt and what the answer teaches."""

import io

import orjson
import pytest
import yaml
from choosing_gateway import answered, decided, gateway, pool
from rich.console import Console

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_texts
from pilotage_api.settings import GatewaySettings
from pilotage_cli.explanation import print_explanation
from pilotage_extproc.dialects.brevity import instruction
from pilotage_extproc.dialects.splice import edited
from pilotage_extproc.dialects.stream_usage import usage_unasked
from pilotage_extproc.domain.clock import monotonic
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.domain.outcome import TokenUsage
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.recording.explanation import explain
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.server.offline import offline_pipeline
from pilotage_extproc.stages.learn import Learn


def body_of(exchange):
    return orjson.loads(exchange.new_body)


async def test_the_model_of_the_first_attempt_is_the_best_by_the_objective():
    pipeline, _ = await gateway()
    assert (await decided(pipeline)).decision.targets[0].upstream_model == "strong"
    pipeline, _ = await gateway({"cost": 1})
    exchange = await decided(pipeline)
    assert [target.upstream_model for target in exchange.decision.targets] == ["weak", "strong"]
    assert body_of(exchange)["model"] == "weak"


CLAMP = {"levels": [64, 256], "enforce": "clamp"}
INSTRUCT = {"levels": [64, 256], "enforce": "instruct", "clampAt": 512}


async def test_clamp_sets_the_limit_of_the_call():
    pipeline, _ = await gateway(outputBudget=CLAMP)
    assert body_of(await decided(pipeline))["max_tokens"] == 256
    pipeline, _ = await gateway({"cost": 1}, outputBudget=CLAMP)
    assert body_of(await decided(pipeline, {"max_tokens": 1000}))["max_tokens"] == 64
    assert body_of(await decided(pipeline, {"max_tokens": 40}))["max_tokens"] == 40


async def test_a_limit_that_is_put_in_leaves_the_question_for_usage_where_it_is_taken_back():
    pipeline, _ = await gateway(outputBudget=CLAMP)
    exchange = await decided(pipeline, {"stream": True}, envoy="envoy-1")
    assert body_of(exchange)["max_tokens"] == 256
    undone = edited(exchange.new_body, [usage_unasked(exchange.new_body, exchange.usage_edit)])
    assert "stream_options" not in orjson.loads(undone)


async def test_instruct_asks_for_a_short_answer_and_clamps_where_it_is_told_to():
    pipeline, _ = await gateway(outputBudget=INSTRUCT)
    body = body_of(await decided(pipeline))
    assert body["messages"][0]["content"] == f"hi\n\n{instruction(256)}"
    assert body["max_tokens"] == 512


@pytest.mark.parametrize("budget", [CLAMP, INSTRUCT])
@pytest.mark.parametrize(
    "members",
    [
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"reasoning_effort": "high"},
    ],
)
async def test_no_budget_touches_json_tools_or_reasoning(budget, members):
    pipeline, _ = await gateway(outputBudget=budget)
    exchange = await decided(pipeline, members)
    assert exchange.choice.budget is None
    assert {"max_tokens", "max_completion_tokens"}.isdisjoint(body_of(exchange))
    assert body_of(exchange)["messages"] == [{"role": "user", "content": "hi"}]


async def test_a_request_that_no_candidate_fits_is_refused_where_the_rule_says_so():
    ceilings = {"usdPerRequest": "0.000000001", "whenNone": "refuse"}
    pipeline, _ = await gateway(objective={"ceilings": ceilings})
    with pytest.raises(RequestRefused) as refused:
        await decided(pipeline)
    assert refused.value.reason is Refusal.OUT_OF_BOUNDS


async def test_a_conversation_stays_with_its_model():
    pipeline, state = await gateway(stickiness={"minimumGain": "0.9"})
    [key] = await keys_of(pipeline, state, {})
    state.conversations.placed(key, "weak", monotonic())
    exchange = await decided(pipeline)
    assert exchange.decision.targets[0].upstream_model == "weak"
    assert exchange.choice.held


async def keys_of(pipeline, state, *requests):
    """The conversations that some requests belong to, given as members and headers."""
    found = []
    state.conversations.tell(lambda key, _model: found.append(key))
    for members in requests:
        headers = members.pop("headers", {})
        await decided(pipeline, members, headers=headers)
    return found


async def test_conversations_are_told_apart_by_their_head_and_session_and_never_by_user():
    pipeline, state = await gateway(stickiness={})
    later = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "yes?"},
        {"role": "user", "content": "go on"},
    ]
    keys = await keys_of(
        pipeline,
        state,
        {},
        {"messages": later},
        {"user": "someone"},
        {"messages": [{"role": "user", "content": "other"}]},
        {"headers": {"x-session-id": "1"}},
        {"prompt_cache_key": "2"},
    )
    assert len(keys) == 4  # the second and third are the first one's


@pytest.mark.parametrize(
    "header", ["x-session-id", "session-id", "x-claude-code-session-id", "x-session-affinity"]
)
async def test_each_header_that_names_a_session_tells_conversations_apart(header):
    pipeline, state = await gateway(stickiness={})
    keys = await keys_of(pipeline, state, {}, *[{"headers": {header: one}} for one in ("1", "2", "1")])
    assert len(keys) == 3


async def test_answers_teach_how_long_they_are_and_take():
    pipeline, state = await gateway({"cost": 1}, outputBudget=CLAMP)
    exchange = await decided(pipeline, {"stream": True})
    answered(pipeline, exchange, TokenUsage(100, 10, cached_input_tokens=20, cache_write_input_tokens=60))
    assert state.experience.lengths.of("default/auto/all", "weak").seen == 1
    assert state.experience.writes.share("default/auto/all", "weak") == 0.75
    assert len(state.experience.latency) == 1


async def test_a_rule_without_an_objective_keeps_its_plan():
    pipeline, _ = await gateway()
    plans = pipeline._plans
    assert not any(isinstance(stage, Learn) for stage in plans.placing.committing)
    assert [stage.name for stage in plans.placing.deciding] == ["describe", "bound", "decide", "prepare"]
    exchange = await decided(pipeline)
    assert exchange.choice is not None
    served = await decided(pipeline, {"model": "weak"})
    assert (served.choice, served.conversation) == (None, None)


async def test_a_choice_is_explained_with_its_terms_and_what_would_flip_it():
    pipeline, _ = await gateway({"quality": 100, "cost": 30}, outputBudget=CLAMP)
    sent = orjson.dumps({"model": "auto", "messages": [{"role": "user", "content": "hi"}]})
    record = await pipeline.consider(RequestHead("POST", "/v1/chat/completions", {}), sent)
    told = explain(record, "x")
    choice = told["choice"]
    assert {(one["model"], one["outputBudget"]) for one in choice["candidates"]} == {
        (model, tokens) for model in ("weak", "strong") for tokens in (64, 256)
    }
    [chosen] = [one for one in choice["candidates"] if one["chosen"]]
    assert (chosen["outputBudget"], chosen["keepsBounds"]) == (choice["outputBudget"], True)
    assert choice["counterfactual"] == choice["counterfactuals"][0]
    console = Console(record=True, width=200, file=io.StringIO())
    print_explanation(console, told)
    text = console.export_text()
    assert "would have chosen" in text
    assert "strongGain unknown: priors are used" in text
    assert "hi" not in [word.strip('",') for word in text.split()]


async def test_a_rule_whose_models_have_no_server_says_so():
    bare = {"engine": "vllm", "selector": {"matchLabels": {"app": "weak"}}, "targetPorts": [8000]}
    body = pool("weak", "0.5", "0.2")
    body["spec"] = {**bare, "models": body["spec"]["models"]}
    rule = {"candidates": [{"model": "weak"}], "objective": {"weights": {"quality": 1}}}
    policy = {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "RoutePolicy",
        "metadata": {"name": "auto"},
        "spec": {"match": {"models": ["auto"]}, "rules": [rule]},
    }
    compiled = compile_resources(
        load_texts([("all.yaml", yaml.safe_dump_all([body, policy]))]), GatewaySettings()
    )
    pipeline, _ = await offline_pipeline(compiled.snapshot, GatewaySettings())
    exchange = Exchange(RequestHead("POST", "/v1/chat/completions", {}, envoy="e"))
    await pipeline.begin(exchange)
    exchange.received(orjson.dumps({"model": "auto", "messages": [{"role": "user", "content": "hi"}]}))
    with pytest.raises(RequestRefused) as refused:
        await pipeline.decide(exchange)
    assert refused.value.reason is Refusal.NO_ENDPOINTS
