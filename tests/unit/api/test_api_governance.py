"""Limits and budgets as people write them: what is wrong with them, and what is only odd."""

import pytest
from api_manifests import brief, compiled, load, only, policy, pool

PRICED = {
    "name": "m",
    "maxOutputTokens": 100,
    "pricing": {"inputPerMillion": "1", "outputPerMillion": "2"},
}
LIMIT = {"per": "tenant", "window": "1m", "requests": 5}
BUDGET = {"per": "policy", "period": "day", "usd": "5", "mode": "soft"}
VALKEY = {"valkey": {"address": "valkey:6379"}}
STORE = {"governance": {"store": {**VALKEY, "journalDir": "/var/lib/journal"}}}

WRONG = {
    "nothing bounded": ("limits", {"per": "tenant"}, "missing-field", ""),
    "no window": ("limits", {"per": "tenant", "requests": 5}, "missing-field", "window"),
    "a window for nothing": ("limits", {**LIMIT, "requests": None, "concurrent": 3}, "no-effect", "window"),
    "too short a window": ("limits", {**LIMIT, "window": "500ms"}, "invalid-value", "window"),
    "too long a window": ("limits", {**LIMIT, "window": "25h"}, "invalid-value", "window"),
    "no money": ("budgets", {**BUDGET, "usd": "0"}, "invalid-value", "usd"),
    "too much money": ("budgets", {**BUDGET, "usd": "9000000.01"}, "invalid-value", "usd"),
    "no such zone": ("budgets", {**BUDGET, "timeZone": "Europe/Berln"}, "invalid-value", "timeZone"),
    "hard with an alternative": (
        "budgets",
        {**BUDGET, "mode": "hard", "whenSpent": {"candidates": [{"model": "m"}]}},
        "invalid-value",
        "whenSpent",
    ),
    "an alternative of each model": (
        "budgets",
        {**BUDGET, "per": "model", "whenSpent": {"candidates": [{"model": "m"}]}},
        "invalid-value",
        "per",
    ),
}


@pytest.mark.parametrize(("kind", "block", "code", "path"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_names_its_field(kind, block, code, path):
    block = {name: value for name, value in block.items() if value is not None}
    finding = only(load(policy("auto", governance={kind: [block]})).findings)
    where = f"spec.governance.{kind}[0]"
    assert (finding.code, finding.path) == (code, f"{where}.{path}" if path else where)


def governed(models=(PRICED,), settings=None, **governance):
    return compiled(
        pool("small", list(models)), policy("auto", {}, ("m",), governance=governance), **(settings or STORE)
    )


def test_a_policy_that_bounds_nothing_has_no_governance():
    [route] = governed().snapshot.routes
    assert route.governance is None


def test_limits_and_budgets_reach_the_snapshot_of_every_way_into_the_policy():
    found = governed(limits=[LIMIT], budgets=[{**BUDGET, "whenSpent": {"candidates": [{"model": "m"}]}}])
    assert found.findings == ()
    [route] = found.snapshot.routes
    assert route.governance.limits[0].window_seconds == 60
    assert (route.governance.budgets[0].usd, route.governance.budgets[0].instead) == ("5", 0)
    assert [one.bindings[0].upstream_model for one in route.instead[0].candidates] == ["m"]


def test_a_model_without_a_price_is_told():
    found = governed(models=["m"], budgets=[BUDGET])
    assert brief(found.findings) == [("warning", "no-price", "spec.governance.budgets")]


def test_a_hard_budget_says_where_nothing_bounds_the_output():
    bare = {name: value for name, value in PRICED.items() if name != "maxOutputTokens"}
    found = governed(models=[bare], budgets=[{**BUDGET, "mode": "hard"}])
    assert brief(found.findings) == [("warning", "no-output-bound", "spec.governance.budgets")]


def test_a_budget_that_a_restart_forgets_is_told():
    found = governed(settings={"decision_headers": "off"}, budgets=[BUDGET])
    assert brief(found.findings) == [("warning", "not-kept", "spec.governance.budgets")]


def test_a_hard_budget_that_a_valkey_may_lose_is_told():
    found = governed(settings={"governance": {"store": VALKEY}}, budgets=[{**BUDGET, "mode": "hard"}])
    assert brief(found.findings) == [("warning", "not-kept", "spec.governance.budgets")]
    assert governed(settings={"governance": {"store": VALKEY}}, budgets=[BUDGET]).findings == ()


def test_a_hard_budget_without_a_store_is_an_error_and_refuses():
    found = governed(settings={"decision_headers": "off"}, budgets=[{**BUDGET, "mode": "hard"}])
    assert brief(found.findings) == [("error", "needs-store", "spec.governance.budgets[0].mode")]
    assert found.snapshot.routes[0].governance.unenforceable


def test_an_alternative_that_no_pool_serves_is_told():
    found = governed(budgets=[{**BUDGET, "whenSpent": {"candidates": [{"model": "none"}]}}])
    assert ("error", "no-candidates", "spec.governance.budgets[0].whenSpent.candidates") in brief(
        found.findings
    )
