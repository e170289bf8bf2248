"""Rules that require labels of pools send nothing anywhere else, by no path."""

import pytest

from pilotage_api.compile import Compiled, compile_resources
from pilotage_api.load import load_texts
from pilotage_api.settings import GatewaySettings


def pool(name: str, models: str, labels: str, external: bool = False) -> str:
    where = "external: {host: api.example.com}" if external else "endpoints: [{address: 10.0.0.1, port: 80}]"
    return f"""
apiVersion: pilotage.dev/v1alpha1
kind: ModelPool
metadata: {{name: {name}, labels: {labels}}}
spec: {{{where}, models: {models}}}
"""


POOLS = [
    pool("home", "[{name: small}, {name: big}]", "{trust: own, region: eu}"),
    pool("away", "[{name: small}, {name: strong}]", "{trust: own, region: us}"),
    pool("hosted", "[{name: gpt}]", "{trust: provider}", external=True),
]


def compiled(spec: str, *more: str) -> Compiled:
    policy = f"\napiVersion: pilotage.dev/v1alpha1\nkind: RoutePolicy\nmetadata: {{name: p}}\nspec: {spec}\n"
    return compile_resources(load_texts([("a.yaml", "---".join([*POOLS, *more, policy]))]), GatewaySettings())


def reached(found: Compiled) -> set[str]:
    """Every pool that any rule leads to, by candidates, fallbacks and spent budgets."""
    [route] = found.snapshot.routes
    rules = (*route.rules, *route.instead)
    models = [one for rule in rules for one in rule.candidates]
    models += [one for rule in rules if rule.fallback is not None for one in rule.fallback.to]
    return {binding.pool for one in models for binding in one.bindings}


def codes(found: Compiled) -> dict[str, str]:
    return {one.code: f"{one.severity.value} {one.path}" for one in found.findings}


def test_candidates_fallbacks_and_spent_budgets_stay_within_the_labels() -> None:
    found = compiled(
        "{rules: [{candidates: [{model: small}, {model: strong}, {model: gpt}],"
        " require: {poolLabels: {region: eu}},"
        " fallback: {reasons: [saturated], to: [{model: gpt}, {model: big}]}}],"
        " governance: {budgets: [{per: policy, period: day, usd: '5', mode: soft,"
        " whenSpent: {candidates: [{model: gpt}, {model: small}]}}]}}"
    )
    assert reached(found) == {"default/home"}
    assert codes(found)["kept-out"].startswith("warning spec.")


@pytest.mark.parametrize("labels", ["{region: mars}", "{trust: own, region: apac}"])
def test_labels_that_no_pool_has_are_an_error(labels: str) -> None:
    found = compiled(f"{{rules: [{{candidates: [{{model: small}}], require: {{poolLabels: {labels}}}}}]}}")
    assert reached(found) == set()
    assert codes(found)["no-candidates"] == "error spec.rules[0].candidates"


def test_a_provider_is_never_ones_own() -> None:
    liar = pool("liar", "[{name: liar}]", "{trust: own}", external=True)
    found = compiled("{rules: [{candidates: [{model: liar}], require: {poolLabels: {trust: own}}}]}", liar)
    assert codes(found)["trust-of-provider"] == "error metadata.labels.trust"
    assert reached(found) == set()
    assert [one.labels for one in found.snapshot.pools if one.key == "default/liar"] == [{}]


def test_rules_without_the_requirement_go_where_they_went() -> None:
    found = compiled("{rules: [{candidates: [{model: small}, {model: gpt}]}]}")
    assert reached(found) == {"default/home", "default/away", "default/hosted"}


def test_a_key_that_no_label_has_is_refused() -> None:
    found = compiled("{rules: [{candidates: [{model: small}], require: {poolLabels: {'a b': c}}}]}")
    assert "invalid-label" in codes(found)


def settled(code: str, pools: list[str], spec: str, **settings: object) -> list[str]:
    policy = f"\napiVersion: pilotage.dev/v1alpha1\nkind: RoutePolicy\nmetadata: {{name: p}}\nspec: {spec}\n"
    found = compile_resources(
        load_texts([("a.yaml", "---".join([*pools, policy]))]), GatewaySettings.model_validate(settings)
    )
    return [f"{one.severity.value} {one.path}" for one in found.findings if one.code == code]


def test_a_pool_for_times_without_a_picker_needs_the_labels_of_all_rules() -> None:
    spec = "{rules: [{candidates: [{model: small}], require: {poolLabels: {region: eu}}}]}"
    outside = settled("fail-open-outside", POOLS, spec, failOpenPool="default/away")
    assert outside == ["error spec.failOpenPool"]
    assert settled("fail-open-outside", POOLS, spec, failOpenPool="default/home") == []
    free = "{rules: [{candidates: [{model: small}]}]}"
    assert settled("fail-open-outside", POOLS, free, failOpenPool="default/away") == []


def test_a_server_of_two_pools_with_other_labels_is_told() -> None:
    spec = "{rules: [{candidates: [{model: small}], require: {poolLabels: {region: eu}}}]}"
    assert settled("labels-differ", POOLS, spec) == ["warning spec.endpoints"]
    assert settled("labels-differ", POOLS, "{rules: [{candidates: [{model: small}]}]}") == []
    assert settled("labels-differ", [POOLS[0], POOLS[2]], spec) == []


@pytest.mark.parametrize("action", ["block", "redact", "flag"])
def test_what_serves_requests_that_nobody_has_looked_at_is_told_where_content_matters(action: str) -> None:
    rules = "rules: [{candidates: [{model: small}]}]"
    spec = f"{{{rules}, governance: {{content: {{request: [{{detectors: [email], action: {action}}}]}}}}}}"
    found = settled("gets-round", POOLS, spec, failOpenPool="default/home")
    assert found == ([] if action == "flag" else ["warning spec.failOpenPool"])
    forwarded = {"action": "forward", "pool": "default/home"}
    found = settled("gets-round", POOLS, spec, otherBodies=forwarded)
    assert found == ([] if action == "flag" else ["warning spec.otherBodies.pool"])
