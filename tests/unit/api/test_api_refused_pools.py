"""Pools that are refused, or in another namespace: whoever names them is told that, in plain words."""

import pytest
from api_manifests import compiled, load, only, policy, pool

from pilotage_api.compile import compile_resources
from pilotage_api.settings import GatewaySettings

REFUSED = pool(
    "small", [{"name": "llama", "aliases": ["small"], "adapters": [{"name": "sql"}]}], engine="vlm"
)


def findings(code, *resources, **settings):
    return [one for one in compiled(*resources, **settings).findings if one.code == code]


@pytest.mark.parametrize("name", ["llama", "small", "sql"])
def test_a_policy_that_names_a_model_of_a_refused_pool_is_told_so(name):
    one = only(findings("no-such-model", REFUSED, policy("auto", candidates=[name])))
    assert one.message == f"{name!r} is a name of ModelPool default/small, which is refused as it stands"
    assert one.fix == "correct that pool: see its own findings"


def test_a_name_that_no_pool_has_is_told_as_before():
    one = only(findings("no-such-model", REFUSED, policy("auto", candidates=["other"])))
    assert one.message == "no pool serves 'other'"


def test_a_refused_pool_of_another_namespace_is_none_of_a_policys():
    elsewhere = {**REFUSED, "metadata": {"name": "small", "namespace": "team-b"}}
    one = only(findings("no-such-model", elsewhere, policy("auto", candidates=["small"])))
    assert one.message == "no pool serves 'small'"


def test_a_refused_pool_whose_older_revision_serves_on_is_named_by_itself_alone():
    good = pool("small", [{"name": "llama", "aliases": ["small"]}])
    settings = GatewaySettings()
    order = policy("auto", candidates=["small"])
    before = compile_resources(load(good, order), settings)
    after = compile_resources(load(REFUSED, order), settings, before.in_force)
    assert "no-such-model" not in [one.code for one in after.findings]


@pytest.mark.parametrize("spec", [None, [], {"models": {"name": "x"}}, {"models": [1, {"aliases": [2]}]}])
def test_a_refused_pool_may_hold_anything(spec):
    odd = {**REFUSED, "spec": spec}
    assert only(findings("no-such-model", odd, policy("auto", candidates=["small"]))).fix


ELSEWHERE = pool("spare", namespace="team-b")


@pytest.mark.parametrize(
    ("named", "pools", "message", "fix"),
    [
        ("spare", [ELSEWHERE], "'spare' names no namespace: there is team-b/spare", "write team-b/spare"),
        (
            "default/spare",
            [ELSEWHERE],
            "no pool 'spare' exists in namespace 'default': there is team-b/spare",
            "write team-b/spare",
        ),
        ("default/small", [REFUSED], "pool 'default/small' is refused as it stands", None),
        ("default/x", [ELSEWHERE], "no pool 'default/x' exists", "name a ModelPool as namespace/name"),
        ("x", [], "no pool 'x' exists", "name a ModelPool as namespace/name"),
    ],
)
def test_a_pool_that_the_settings_name_and_is_not_there_is_told_with_where_it_is(named, pools, message, fix):
    found = only(findings("no-such-pool", *pools, failOpenPool=named))
    assert found.message == message
    assert found.fix == fix or fix is None


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"rules": []}, "must have at least 1 item, not []"),
        ({"match": {"models": []}, "rules": [{"candidates": []}]}, "must have at least 1 item, not []"),
        (
            {"rules": [{"name": "-x-", "candidates": [{"model": "a"}]}]},
            "must be text that matches ^[A-Za-z0-9]",
        ),
        ({"rules": [{"candidates": [{"model": " a"}]}]}, "must be text without control characters, blank"),
        ({"rules": [{"candidates": [{"model": ""}]}]}, "must not be empty, not ''"),
        ({"rules": [{"candidates": [{"model": "a" * 257}]}]}, "must have at most 256 characters, not"),
        (
            {"rules": [{"candidates": [{"model": "a"}], "require": {"poolLabels": {}}}]},
            "must have at least 1 entry, not {}",
        ),
        (
            {"transform": {"systemPrompt": {"prefix": " "}}, "rules": [{"candidates": [{"model": "a"}]}]},
            "must be text that is not blank, not ' '",
        ),
    ],
)
def test_what_a_value_should_have_been_is_said_in_plain_words(spec, message):
    written = {**policy("auto"), "spec": {"match": {}, **spec}}
    found = only(load(written).findings)
    assert found.message.startswith(message)
    assert found.fix
