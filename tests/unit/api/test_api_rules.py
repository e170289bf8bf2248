"""Several rules in one policy: their order, who chooses among them, and what never happens."""

import pytest
from api_manifests import brief, compiled, load, only, policy, pool

from pilotage_api.snapshot import Otherwise

POOL = pool("p", ["m", "n"])
M = [{"model": "m"}]
SPLIT = [{"model": "m", "weight": 9}, {"model": "n", "weight": 1}]
LONG = "request.contextTokens > 8000"


def rules(*found, **spec):
    """A policy with those rules, compiled beside one pool."""
    return compiled(POOL, policy("auto", rules=list(found), **spec))


def test_all_rules_of_a_policy_reach_the_snapshot_in_order():
    done = rules({"name": "long", "when": LONG, "candidates": M}, {"candidates": [{"model": "n"}]})
    assert done.findings == ()
    [route] = done.snapshot.routes
    assert [(rule.name, rule.when, rule.candidates[0].model) for rule in route.rules] == [
        ("long", LONG, "m"),
        ("rules[1]", None, "n"),
    ]
    assert (route.otherwise, route.overrides) == (Otherwise.REFUSE, None)


def test_what_no_rule_takes_may_go_to_the_next_policy():
    [route] = rules({"when": LONG, "candidates": M}, otherwise="next").snapshot.routes
    assert route.otherwise is Otherwise.NEXT
    assert not route.always_answers


def test_rules_behind_one_without_a_condition_are_never_reached():
    done = rules({"when": LONG, "candidates": M}, *[{"candidates": M}] * 3)
    assert brief(done.findings) == [
        ("warning", "unreachable-rule", "spec.rules[2]"),
        ("warning", "unreachable-rule", "spec.rules[3]"),
    ]


def test_a_rule_that_a_header_may_choose_is_reached_wherever_it_stands():
    overrides = {"header": "X-Rule", "rules": ["special"]}
    done = rules({"candidates": M}, {"name": "special", "candidates": M}, overrides=overrides)
    assert done.findings == ()
    found = done.snapshot.routes[0].overrides
    assert found is not None
    assert (found.header, found.rules) == ("x-rule", ("special",))


def test_the_next_policy_is_never_tried_behind_a_rule_that_always_holds():
    done = rules({"candidates": M}, otherwise="next")
    assert brief(done.findings) == [("warning", "no-effect", "spec.otherwise")]


def test_a_sticky_header_draws_among_weights():
    [route] = rules({"candidates": SPLIT, "stickyBy": "X-User"}).snapshot.routes
    assert route.rules[0].sticky_by == "x-user"


@pytest.mark.parametrize("candidates", [M, [{"model": "m"}, {"model": "n"}], [{"model": "m", "weight": 1}]])
def test_a_sticky_header_without_weights_has_no_effect(candidates):
    done = rules({"candidates": candidates, "stickyBy": "x-user"})
    assert brief(done.findings) == [("warning", "no-effect", "spec.rules[0].stickyBy")]


@pytest.mark.parametrize("header", ["Authorization", "cookie", "x-api-key", "X-Goog-Api-Key", "x-my-token"])
def test_credentials_neither_choose_a_rule_nor_draw_a_candidate(header):
    overrides = {"header": header, "rules": ["a"]}
    loaded = load(
        policy("auto", rules=[{"name": "a", "candidates": SPLIT, "stickyBy": header}], overrides=overrides)
    )
    assert sorted(brief(loaded.findings)) == [
        ("error", "credential-header", "spec.overrides.header"),
        ("error", "credential-header", "spec.rules[0].stickyBy"),
    ]


def test_headers_that_never_arrive_are_told():
    header = "x-envoy-anything"
    overrides = {"header": header, "rules": ["a"]}
    done = rules({"name": "a", "candidates": SPLIT, "stickyBy": header}, overrides=overrides)
    assert sorted(brief(done.findings)) == [
        ("warning", "never-matches", "spec.overrides.header"),
        ("warning", "never-matches", "spec.rules[0].stickyBy"),
    ]


def test_an_override_that_the_match_leaves_no_value_for_is_told():
    match = {"headers": [{"name": "x-rule", "value": "b"}]}
    named = [{"name": name, "when": LONG, "candidates": M} for name in ("a", "b")]
    done = compiled(
        POOL, policy("auto", match, rules=named, overrides={"header": "X-Rule", "rules": ["a", "b"]})
    )
    assert brief(done.findings) == [("warning", "unreachable-override", "spec.overrides.rules[0]")]


def test_an_override_names_a_rule_of_the_policy():
    overrides = {"header": "x-rule", "rules": ["privat"]}
    loaded = load(policy("auto", rules=[{"name": "private", "candidates": M}], overrides=overrides))
    finding = only(loaded.findings)
    assert (finding.code, finding.path) == ("no-such-rule", "spec.overrides.rules[0]")
    assert "'private'" in finding.fix


def test_two_rules_of_one_name_are_refused():
    loaded = load(policy("auto", rules=[{"name": "a", "candidates": M}, {"name": "a", "candidates": M}]))
    assert brief(loaded.findings) == [("error", "duplicate-item", "spec.rules[1].name")]


def test_a_condition_is_bounded_in_length():
    loaded = load(policy("auto", rules=[{"when": "true" + " " * 4096, "candidates": M}]))
    assert brief(loaded.findings) == [("error", "invalid-value", "spec.rules[0].when")]


@pytest.mark.parametrize(("otherwise", "shadowed"), [("refuse", True), ("next", False)])
def test_a_policy_that_passes_requests_on_shadows_no_other(otherwise, shadowed):
    match = {"models": ["auto"]}
    first = policy("a", match, rules=[{"when": LONG, "candidates": M}], otherwise=otherwise)
    found = compiled(POOL, first, policy("b", match, candidates=["m"])).findings
    assert [one.code for one in found] == (["shadowed"] if shadowed else [])


def when(text: str, *pools: object, **spec: object):
    """A policy whose only rule has that condition, compiled beside pools."""
    done = compiled(POOL, *pools, policy("auto", rules=[{"when": text, "candidates": M}], **spec))
    return done, done.snapshot.routes[0].rules[0]


def test_names_of_pools_are_resolved_in_the_policys_namespace():
    done, rule = when("poolReady('p') && poolQueue('default/p') > 3")
    assert done.findings == ()
    assert rule.when == "poolReady('default/p') && poolQueue('default/p') > 3"
    assert rule.reads == ('poolQueue("default/p")', 'poolReady("default/p")')


def test_a_pool_that_is_not_there_is_an_error_with_its_place_and_the_nearest_name():
    done, _ = when("request.stream\n || poolReady('pp')")
    finding = only(done.findings)
    assert (finding.severity.value, finding.code, finding.path) == (
        "error",
        "no-such-pool",
        "spec.rules[0].when",
    )
    assert "line 2, column 15" in finding.message
    assert finding.fix == "did you mean 'p'?"


def test_a_pool_of_another_namespace_has_to_let_the_policy_in():
    hidden = pool("q", ["x"], namespace="other")
    done, rule = when("request.stream || poolReady('other/q')", hidden)
    assert ("error", "pool-not-visible", "spec.rules[0].when") in brief(done.findings)
    assert (rule.when, rule.reads) == ("false", ())
    shown = pool("q", ["x"], namespace="other", allowedNamespaces={"from": "All"})
    done, rule = when("poolReady('other/q')", shown)
    assert done.findings == ()
    assert rule.reads == ('poolReady("other/q")',)


def test_a_header_that_never_arrives_is_told():
    done, _ = when('headers["x-envoy-anything"] == "a"')
    assert brief(done.findings) == [("warning", "never-matches", "spec.rules[0].when")]


def test_a_rule_that_never_holds_is_told():
    done, _ = when("request.stream && 1 > 2")
    assert brief(done.findings) == [("warning", "never-holds", "spec.rules[0].when")]


def test_a_rule_that_never_holds_may_be_there_for_a_header_to_choose():
    named = [{"name": "debug", "when": "false", "candidates": M}, {"candidates": M}]
    assert rules(*named, overrides={"header": "x-rule", "rules": ["debug"]}).findings == ()


def test_a_condition_that_always_holds_is_as_none():
    done = rules({"when": "true || request.stream", "candidates": M}, {"candidates": M})
    assert brief(done.findings) == [
        ("warning", "always-holds", "spec.rules[0].when"),
        ("warning", "unreachable-rule", "spec.rules[1]"),
    ]
    [route] = done.snapshot.routes
    assert (route.rules[0].when, route.rules[0].reads, route.always_answers) == (None, (), True)


def test_a_rule_with_the_when_of_an_earlier_one_is_never_reached():
    done = rules({"when": LONG, "candidates": M}, {"when": f"({LONG})", "candidates": M})
    assert brief(done.findings) == [("warning", "unreachable-rule", "spec.rules[1]")]
