"""What manifests ask for that the gateway in front of the picker cannot do."""

import pytest
from api_manifests import brief, compiled, policy, pool

from pilotage_api.gateway_findings import places
from pilotage_api.gateways import FEATURES, Feature, Gateway, Support
from pilotage_api.modelpool import ModelPoolSpec
from pilotage_api.routepolicy import RoutePolicySpec
from pilotage_api.settings import GatewaySettings
from pilotage_api.tenant import TenantSpec
from pilotage_api.validation import known_fields

KINDS = {
    "RoutePolicy": RoutePolicySpec,
    "ModelPool": ModelPoolSpec,
    "Tenant": TenantSpec,
    "GatewaySettings": GatewaySettings,
}
TO_N = {"reasons": ["serverError"], "to": [{"model": "n"}]}
RULE = {"candidates": [{"model": "m"}], "timeouts": {"total": "10s"}, "fallback": TO_N}
LIMITS = {"limits": [{"per": "policy", "window": "1m", "requests": 5}]}


def found(gateway, *resources, **settings):
    made = compiled(*resources, gateway=gateway, **settings)
    return [one for one in brief(made.findings) if one[1].endswith("-gateway")]


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_every_field_of_the_table_is_one_that_people_can_write(feature: Feature):
    for field in feature.fields:
        kind, *path = field.replace("[]", ".[]").split(".")
        *above, last = (0 if part == "[]" else part for part in path)
        assert last in known_fields(KINDS[kind], tuple(above))


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_what_does_not_work_everywhere_says_why(feature: Feature):
    for gateway in Gateway:
        held = feature.under(gateway)
        assert bool(held.remark) is (held.support is not Support.YES)


def test_under_the_bundled_envoy_nothing_is_refused():
    policies = policy("auto", rules=[RULE], governance=LIMITS, queue={"maxWait": "5s"})
    assert found(Gateway.BUNDLED, pool("p", ["m", "n"]), policies) == []


def test_under_another_gateway_each_field_is_told_by_how_much_of_it_works():
    plain = {"candidates": [{"model": "m"}]}
    policies = policy("auto", rules=[plain, RULE], governance=LIMITS)
    assert found(Gateway.OTHER, pool("p", ["m", "n"]), policies) == [
        ("warning", "partly-under-gateway", "spec.rules[1].fallback"),
        ("error", "not-under-gateway", "spec.rules[1].timeouts"),
        ("info", "depends-on-gateway", "spec.governance.limits"),
    ]


def test_where_the_pool_is_fixed_a_policy_is_refused_once_and_not_for_each_part():
    policies = policy(
        "auto", rules=[RULE, RULE], governance=LIMITS, transform={"parameters": {"remove": ["top_k"]}}
    )
    assert found(Gateway.INFERENCE_POOL, pool("p", ["m", "n"]), policies) == [
        ("error", "not-under-gateway", "spec.rules"),
        ("error", "not-under-gateway", "spec.models"),
    ]


def test_a_provider_is_refused_under_another_gateway():
    hosted = pool(
        "far", ["m"], endpoints=[], external={"host": "api.example.com", "dialect": "openai", "tls": {}}
    )
    assert found(Gateway.OTHER, hosted) == [("error", "not-under-gateway", "spec.external")]


def test_settings_of_the_bundled_envoy_are_refused_under_another_gateway():
    cors = {"allowOrigins": ["https://chat.example.com"]}
    assert found(Gateway.OTHER, cors=cors) == [("error", "not-under-gateway", "spec.cors.allowOrigins")]
    assert found(Gateway.OTHER) == []


def test_policies_that_the_gateway_does_not_obey_are_not_its_concern():
    policies = policy("auto", rules=[RULE], namespace="elsewhere")
    assert found(Gateway.OTHER, pool("p", ["m", "n"]), policies) == []


def test_places_of_a_field_are_those_that_have_a_value():
    spec = RoutePolicySpec.model_validate({"rules": [{"candidates": [{"model": "m"}]}, RULE], "keywords": []})
    assert list(places(spec, "rules[].fallback")) == ["rules[1].fallback"]
    assert list(places(spec, "keywords")) == []
    assert list(places(spec, "governance.limits")) == []
    with pytest.raises(KeyError):
        list(places(spec, "governence"))
