"""An explanation as a person reads it: at any width, nothing that counts is cut."""

import io
import json
from typing import Any

import pytest
import yaml
from rich.console import Console

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_texts
from pilotage_api.settings import GatewaySettings
from pilotage_cli.explanation import print_explanation
from pilotage_extproc.server.offline import explain_offline

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
POOL = {
    "apiVersion": "pilotage.dev/v1alpha1",
    "kind": "ModelPool",
    "metadata": {"name": "small"},
    "spec": {
        "endpoints": [{"address": f"10.0.0.{number}", "port": 18101} for number in (1, 2)],
        "models": [{"name": MODEL, "aliases": ["a[b]c[/d]"]}],
    },
}


async def explained(model: str = MODEL) -> dict[str, Any]:
    settings = GatewaySettings()
    snapshot = compile_resources(load_texts([("pool.yaml", yaml.safe_dump(POOL))]), settings).snapshot
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    request = {"path": "/v1/chat/completions", "body": body}
    return await explain_offline(snapshot, settings, json.dumps(request).encode())


def printed(explanation: dict[str, Any], width: int) -> str:
    file = io.StringIO()
    print_explanation(Console(file=file, width=width, soft_wrap=True), explanation)
    return file.getvalue()


@pytest.mark.parametrize("width", [20, 80, 100, 300])
async def test_endpoint_pool_model_and_every_term_can_be_read_at_any_width(width):
    explanation = await explained()
    text = printed(explanation, width)
    for candidate in explanation["candidates"]:
        assert text.count(f"{candidate['address']}") >= 1
        assert f"{candidate['score']:.3f}" in text
    assert text.count(MODEL) >= len(explanation["candidates"])
    assert text.count("default/small") == len(explanation["candidates"])
    for scorer in explanation["scorers"]:
        assert scorer["name"] in text
        assert f"{scorer['unit']}, weight {scorer['weight']:g}" in text
    assert "…" not in text


async def test_lines_of_candidates_keep_to_a_terminal_of_80_columns():
    text = printed(await explained(), 80)
    candidates = text[text.index("scorers ") : text.index("pick  ")]
    assert max(len(line) for line in candidates.splitlines()) <= 80
    assert "try 1    10.0.0." in candidates


@pytest.mark.parametrize(("width", "told"), [(80, "has no metrics"), (400, "none")])
async def test_a_provider_has_no_metrics_and_a_server_has_none_yet(width, told):
    explanation = await explained()
    explanation["candidates"][0]["address"] = "envoy://provider/default/small/"
    text = printed(explanation, width)
    assert told in text
    assert ("metrics never read" if width == 80 else "never") in text


async def test_a_wide_terminal_has_a_table():
    assert "try  endpoint" in printed(await explained(), 300)


async def test_names_are_no_markup():
    assert "'a[b]c[/d]'" in printed(await explained("a[b]c[/d]"), 80)


@pytest.mark.parametrize(
    ("request_", "route"),
    [
        ({"kind": "other", "model": ""}, "setting otherPaths: forwarded unread to default/small"),
        ({"kind": "chat", "model": ""}, "setting otherBodies: forwarded unread to default/small"),
        ({"kind": "response_object", "model": ""}, "the server that holds the response"),
        ({}, "no policy: pools that serve the name"),
    ],
)
async def test_the_route_says_why_the_pool_got_the_request(request_, route):
    explanation = await explained()
    explanation["request"].update(request_)
    assert f"route    {route}\n" in printed(explanation, 80)


async def test_each_rule_that_was_tried_is_shown_with_its_reason():
    explanation = await explained()
    assert "tried " not in printed(explanation, 80)
    why = 'missing_header: headers["x-tier"]'
    trials = [
        {"policy": "default/p", "rule": "long", "holds": False, "reason": None},
        {"policy": "default/p", "rule": "tools", "holds": False, "reason": why},
        {"policy": "default/p", "rule": "rest", "holds": True, "reason": None},
    ]
    text = printed({**explanation, "rulesTried": trials}, 300)
    assert "tried    policy default/p, rule long: does not hold\n" in text
    assert f"rule tools: does not hold ({why})\n" in text
    assert "tried    policy default/p, rule rest: holds\n" in text


async def test_a_request_whose_end_nobody_told_is_shown_as_given_up():
    explanation = await explained()
    assert "outcome  not known (yet)" in printed(explanation, 300)
    assert "no longer counted as in flight" in printed({**explanation, "givenUp": True}, 300)


async def test_what_a_translation_left_out_is_shown():
    explanation = await explained()
    outcome = {
        "status": 200,
        "servedBy": "10.0.0.1:443",
        "attempts": 1,
        "ttftSeconds": None,
        "durationSeconds": 0.1,
        "usage": {"inputTokens": 1, "cachedInputTokens": None, "outputTokens": 1},
        "translation": ["seed: dropped", "top_k: dropped"],
    }
    text = printed({**explanation, "outcome": outcome}, 300)
    assert "translated, without  seed: dropped; top_k: dropped\n" in text
    outcome["endedAtAllowance"] = 21
    text = printed({**explanation, "outcome": outcome}, 300)
    assert "ended    by Envoy after 21 pieces of output: the server went past what" in text
    del outcome["translation"], outcome["endedAtAllowance"]
    assert "translated" not in printed({**explanation, "outcome": outcome}, 300)


async def test_what_was_passed_over_what_leads_on_and_what_failed_is_told():
    explanation = await explained()
    assert "failed" not in printed(explanation, 100)
    assert "queued" not in printed(explanation, 100)
    explanation["queuedSeconds"] = 1.25
    explanation["passedOver"] = [{"model": "small", "reason": "saturated", "leftOut": False}]
    explanation["limits"] = {
        "leadsOn": ["connect", "rateLimited"],
        "firstTokenSeconds": 5,
        "idleSeconds": None,
        "leftSeconds": 59.5,
    }
    explanation["failedAttempts"] = [
        {
            "attempt": 1,
            "address": "10.0.0.1:80",
            "reason": "rateLimited",
            "status": 429,
            "flags": [],
            "durationSeconds": 0.1,
            "stayAwaySeconds": 7,
        }
    ]
    text = printed(explanation, 100)
    assert "queued   1.25 s until a server had room" in text
    assert "passed   small: saturated, put last" in text
    assert "leads on connect, rateLimited" in text
    assert "at most  first token 5 s, all of it 59.5 s" in text
    assert "failed   attempt 1 at 10.0.0.1:80: rateLimited, status 429, asks for 7 s" in text


async def test_the_shape_of_each_attempt_is_told_where_it_is_not_the_clients():
    explanation = await explained()
    assert "shape" not in printed(explanation, 100)
    first = explanation["attempts"][0]
    first["transform"] = {"name": "default/p/0", "changed": ["systemPrompt", "top_k"]}
    second = {**first, "transform": {"name": "default/p/1", "changed": []}, "translatedTo": "messages"}
    explanation["attempts"] = [{**first, "result": "failed"}, second]
    text = printed(explanation, 200)
    assert f"attempt 1 at {first['address']} (failed): default/p/0 changes systemPrompt, top_k" in text
    assert "default/p/1 changes nothing; translated to messages" in text
    for one in explanation["attempts"]:  # as a picker of the version before says it
        del one["transform"], one["translatedTo"]
    assert "shape" not in printed(explanation, 200)
