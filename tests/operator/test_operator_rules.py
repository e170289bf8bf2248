"""Several rules in a cluster: what the API server refuses, and what statuses say of conditions."""

import pytest
from operator_run import condition, policy, pool

from pilotage_kube.errors import Invalid

M = [{"model": "llama"}]
BUDGET = {"per": "policy", "period": "day", "usd": "5", "mode": "hard"}


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (
            {"rules": [{"name": "a", "candidates": M}, {"name": "a", "candidates": M}]},
            "two rules of a policy have different names",
        ),
        (
            {"rules": [{"name": "a", "candidates": M}], "overrides": {"header": "x-rule", "rules": ["b"]}},
            "overrides name rules of the policy",
        ),
        ({"rules": [{"when": "t" * 4097, "candidates": M}]}, "4096"),
        ({"otherwise": "give-up"}, "otherwise"),
        ({"governance": {"limits": [{"per": "tenant"}]}}, "a limit bounds something"),
        ({"governance": {"limits": [{"per": "tenant", "requests": 5}]}}, "bounded in a window"),
        ({"governance": {"budgets": [{**BUDGET, "usd": "9000000.01"}]}}, "at most 9000000 dollars"),
        ({"governance": {"budgets": [{**BUDGET, "whenSpent": {"candidates": M}}]}}, "for soft budgets"),
    ],
)
async def test_the_api_server_refuses_what_check_refuses(operators, spec, told):
    with pytest.raises(Invalid, match=told):
        await operators.apply(policy("auto", "auto", "llama", **spec))


async def test_a_condition_that_is_wrong_is_told_with_its_place_and_the_last_good_one_stays(operators):
    served = pool("small", "llama")
    good = policy("auto", "auto", rules=[{"when": "request.turns > 1", "candidates": M}])
    await operators.apply(served, good)
    picker = operators.pick()
    operators.start()
    await operators.says(good, "True True True")
    wrong = policy("auto", "auto", rules=[{"when": "request.turn > 1", "candidates": M}])
    await operators.apply(wrong)
    found = await operators.says(wrong, "Invalid True LastGood")
    message = condition(found, "Accepted")["message"]
    assert "spec.rules[0].when: line 1, column 1: unknown variable 'request.turn'" in message
    assert "did you mean 'request.turns'?" in message
    assert picker.snapshot.routes[0].rules[0].when == "request.turns > 1"


async def test_a_condition_that_names_no_pool_is_told_until_the_pool_is_there(operators):
    served = pool("small", "llama")
    auto = policy("auto", "auto", rules=[{"when": "poolReady('other')", "candidates": M}])
    await operators.apply(served, auto)
    picker = operators.pick()
    operators.start()
    await operators.says(auto, "True NoSuchPool True")
    await operators.apply(pool("other", "qwen"))
    await operators.says(auto, "True True True")
    assert picker.snapshot.routes[0].rules[0].reads == (f'poolReady("{operators.namespace}/other")',)
