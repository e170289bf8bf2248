"""Fallback and times of rules: what reaches the snapshot, and what never takes effect."""

import pytest
from api_manifests import brief, compiled, load, only, policy, pool

from pilotage_api.snapshot import TimeoutsSnapshot

POOLS = (pool("p", ["m"]), pool("q", [{"name": "n", "aliases": ["other"]}]), pool("r", ["o"]))
TO_N = {"reasons": ["serverError", "unavailable"], "to": [{"model": "n"}]}


def rule(**fields):
    return {"candidates": [{"model": "m"}], **fields}


def done(*rules, **spec):
    return compiled(*POOLS, policy("auto", rules=list(rules), **spec))


def fallbacks(found):
    [route] = found.snapshot.routes
    return [None if one.fallback is None else [to.model for to in one.fallback.to] for one in route.rules]


def test_a_rule_falls_back_as_it_says_itself_and_else_as_its_policy_says():
    own = {"reasons": ["connect"], "to": [{"model": "o"}]}
    found = done(rule(when="request.stream", fallback=own), rule(), fallback=TO_N)
    assert found.findings == ()
    assert fallbacks(found) == [["o"], ["n"]]
    assert found.snapshot.routes[0].rules[1].fallback.reasons == ("serverError", "unavailable")


def test_without_a_fallback_there_is_none():
    assert fallbacks(done(rule())) == [None]


def test_a_fallback_of_the_policy_that_no_rule_follows_is_told():
    found = done(rule(fallback=TO_N), fallback={"reasons": ["connect"], "to": [{"model": "o"}]})
    assert brief(found.findings) == [("warning", "no-effect", "spec.fallback")]


@pytest.mark.parametrize("again", ["m", "other"])
def test_a_fallback_that_goes_in_a_circle_is_left_out_and_told(again):
    to = [{"model": "n"}, {"model": again}]
    found = done(rule(fallback={"reasons": ["connect"], "to": to}))
    assert brief(found.findings) == [("warning", "fallback-cycle", "spec.rules[0].fallback.to[1].model")]
    assert fallbacks(found) == [["n"]]


def test_a_fallback_that_nothing_serves_leads_nowhere():
    found = done(rule(), fallback={"reasons": ["connect"], "to": [{"model": "missing"}]})
    assert brief(found.findings) == [
        ("warning", "no-such-model", "spec.fallback.to[0].model"),
        ("warning", "unreachable-fallback", "spec.fallback.to"),
    ]
    assert fallbacks(found) == [None]


def test_what_is_odd_of_a_policys_fallback_is_told_once():
    to = [{"model": "missing"}, {"model": "n"}]
    found = done(rule(when="request.stream"), rule(), fallback={"reasons": ["connect"], "to": to})
    assert brief(found.findings) == [("warning", "no-such-model", "spec.fallback.to[0].model")]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"fallback": {"reasons": ["firstToken"], "to": [{"model": "n"}]}}, "fallback.reasons[0]"),
        ({"fallback": {"reasons": ["connect", "budget"], "to": [{"model": "n"}]}}, "fallback.reasons[1]"),
        ({"timeouts": {"firstToken": "10s", "idle": "5s"}}, "timeouts.firstToken"),
        ({"timeouts": {"idle": "60s", "total": "1m"}}, "timeouts.idle"),
    ],
)
def test_reasons_and_times_that_never_come_are_told(fields, path):
    assert brief(done(rule(**fields)).findings) == [("warning", "no-effect", f"spec.rules[0].{path}")]


def test_a_budget_leads_on_where_it_counts_models():
    fallback = {"reasons": ["budget"], "to": [{"model": "n"}]}
    budget = {"period": "day", "usd": "5", "mode": "soft"}
    for per, told in (("model", []), ("policy", ["no-effect"])):
        found = done(rule(fallback=fallback), governance={"budgets": [{"per": per, **budget}]})
        assert [one.code for one in found.findings if "reasons" in one.path] == told


@pytest.mark.parametrize("times", [{"firstToken": "5s"}, {"total": "60s"}, {"clientMayShorten": True}])
def test_an_attempt_can_be_late_where_any_time_bounds_it(times):
    fallback = {"reasons": ["firstToken"], "to": [{"model": "n"}]}
    assert done(rule(timeouts=times, fallback=fallback)).findings == ()


def test_times_reach_the_snapshot_in_seconds():
    found = done(rule(timeouts={"firstToken": "1500ms", "idle": "60s", "total": "10m"}))
    assert found.findings == ()
    assert found.snapshot.routes[0].rules[0].timeouts == TimeoutsSnapshot(
        first_token_seconds=1.5, idle_seconds=60, total_seconds=600
    )


@pytest.mark.parametrize(
    ("fields", "code", "path"),
    [
        ({"timeouts": {"total": "25h"}}, "invalid-value", "timeouts.total"),
        ({"timeouts": {"total": "0s"}}, "invalid-value", "timeouts.total"),
        ({"timeouts": {"firstByte": "1s"}}, "unknown-field", "timeouts.firstByte"),
        ({"fallback": {"reasons": ["slow"], "to": [{"model": "n"}]}}, "invalid-value", "fallback.reasons[0]"),
        ({"fallback": {"reasons": [], "to": [{"model": "n"}]}}, "invalid-value", "fallback.reasons"),
        ({"fallback": {"to": [{"model": "n"}]}}, "missing-field", "fallback.reasons"),
        ({"fallback": {"reasons": ["connect"], "to": []}}, "invalid-value", "fallback.to"),
        (
            {"fallback": {"reasons": ["connect"], "to": [{"model": "n"}, {"model": "n"}]}},
            "duplicate-item",
            "fallback.to[1]",
        ),
    ],
)
def test_what_is_wrong_names_its_field(fields, code, path):
    finding = only(load(policy("auto", rules=[rule(**fields)])).findings)
    assert (finding.code, finding.path) == (code, f"spec.rules[0].{path}")


WIDE = {"contextWindow": 1000, "capabilities": ["tools", "json"]}


def able(fallback_model, reasons=("connect",)):
    pools = (pool("p", [{"name": "m", **WIDE}]), pool("q", [{"name": "n", **fallback_model}]))
    spec = {"fallback": {"reasons": list(reasons), "to": [{"model": "n"}]}}
    return brief(compiled(*pools, policy("auto", rules=[rule(**spec)])).findings)


def test_a_fallback_that_lacks_what_a_candidate_has_is_told():
    found = [("warning", "fallback-cannot-serve", "spec.rules[0].fallback.to[0].model")]
    assert able({"capabilities": ["json"]}) == found
    assert able({"capabilities": ["json", "tools", "vision"]}) == []
    assert able({}) == [], "what is unknown counts as possible"


def test_a_fallback_for_long_prompts_takes_longer_ones_than_the_candidates():
    found = [("warning", "fallback-cannot-serve", "spec.rules[0].fallback.reasons[1]")]
    reasons = ("connect", "contextOverflow")
    assert able({"contextWindow": 1000}, reasons) == found
    assert able({"contextWindow": 1001}, reasons) == []
    assert able({}, reasons) == []
    assert able({"contextWindow": 1000}) == []
