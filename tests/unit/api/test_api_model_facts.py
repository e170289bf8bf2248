"""What is known of a model: its bounds, capabilities, prices and quality."""

from decimal import Decimal

import pytest
from api_manifests import compiled, load, only, pool
from hypothesis import given
from hypothesis import strategies as st

from pilotage_api.model_facts import Pricing
from pilotage_api.previous_snapshot import lowered
from pilotage_api.snapshot import RoutingSnapshot

PRICES = {"inputPerMillion": "1.25", "cachedInputPerMillion": "0.125", "outputPerMillion": "10"}
FACTS = {
    "name": "gpt-x",
    "contextWindow": 400_000,
    "maxOutputTokens": 16_384,
    "capabilities": ["vision", "tools"],
    "pricing": {
        **PRICES,
        "tiers": [{"aboveInputTokens": 200_000, "inputPerMillion": "2.50", "outputPerMillion": "15"}],
    },
    "quality": {
        "default": "0.84",
        "domains": [{"domain": "math", "quality": "0.5"}],
        "byBudget": [{"enforce": "instruct", "points": [{"tokens": 128, "quality": "0.31"}]}],
    },
}


def facts_of(model):
    return only(compiled(pool("hosted", [model])).snapshot.pools).model_facts


def problem(**facts):
    return only(load(pool("hosted", [{"name": "gpt-x", **facts}])).findings)


def test_facts_reach_the_snapshot_and_survive_json_with_decimal_prices():
    [facts] = facts_of(FACTS)
    assert (facts.name, facts.upstream_model) == ("gpt-x", "gpt-x")
    assert (facts.context_window, facts.max_output_tokens) == (400_000, 16_384)
    assert facts.capabilities == ("tools", "vision")
    assert facts.pricing.input_per_million == Decimal("1.25")
    assert facts.pricing.cache_write_per_million == Decimal("1.25")
    assert facts.quality.domains == {"math": 0.5}
    snapshot = compiled(pool("hosted", [FACTS])).snapshot
    read = RoutingSnapshot.model_validate_json(snapshot.model_dump_json())
    assert read == snapshot
    assert read.sealed().version == snapshot.version


def test_a_tier_has_the_prices_below_it_where_it_names_none():
    [facts] = facts_of(FACTS)
    [tier] = facts.pricing.tiers
    assert tier.above_input_tokens == 200_000
    assert tier.prices.input_per_million == Decimal("2.50")
    assert tier.prices.cached_input_per_million == Decimal("0.125")
    assert tier.prices.output_per_million == Decimal(15)


def test_what_is_left_out_is_unknown():
    assert facts_of({"name": "m"}) == ()
    [facts] = facts_of({"name": "m", "contextWindow": 8192})
    assert facts.capabilities is None
    assert facts.pricing is None


def test_an_empty_list_of_capabilities_is_a_model_that_has_none():
    [facts] = facts_of({"name": "m", "capabilities": []})
    assert facts.capabilities == ()


def test_facts_of_a_model_hold_for_its_adapters():
    model = {"name": "base", "adapters": [{"name": "sql"}], "contextWindow": 4096}
    [found] = compiled(pool("small", [model])).snapshot.pools
    assert found.facts_of("sql") is found.facts_of("base")
    assert found.facts_of("other") is None


def test_servers_may_call_a_model_otherwise():
    found = compiled(pool("hosted", [{"name": "strong", "aliases": ["best"], "upstreamName": "gpt-x-2026"}]))
    [hosted] = found.snapshot.pools
    assert hosted.models == ("gpt-x-2026",)
    assert {name: b.upstream_model for name, [b] in found.snapshot.names.items()} == {
        "best": "gpt-x-2026",
        "strong": "gpt-x-2026",
    }


def test_pools_that_mean_one_model_share_its_name_whatever_their_servers_call_it():
    hosted = pool("hosted", [{"name": "llama", "upstreamName": "llama-3.1-8b"}])
    found = compiled(pool("own", ["llama"]), hosted)
    assert found.findings == ()
    assert {binding.pool for binding in found.snapshot.names["llama"]} == {"default/own", "default/hosted"}


def test_two_models_that_servers_call_alike_are_refused():
    models = [{"name": "a", "upstreamName": "x"}, {"name": "b", "upstreamName": "x"}]
    finding = only(load(pool("hosted", models)).findings)
    assert (finding.code, finding.path) == ("duplicate-item", "spec.models[1].upstreamName")


@pytest.mark.parametrize(
    ("facts", "path"),
    [
        ({"contextWindow": 0}, "contextWindow"),
        ({"contextWindow": "8192"}, "contextWindow"),
        ({"contextWindow": 10, "maxOutputTokens": 11}, "maxOutputTokens"),
        ({"capabilities": ["flying"]}, "capabilities[0]"),
        ({"capabilities": ["tools", "tools"]}, "capabilities[1]"),
        ({"pricing": {}}, "pricing.inputPerMillion"),
        ({"pricing": {"inputPerMillion": 1.25}}, "pricing.inputPerMillion"),
        ({"pricing": {"inputPerMillion": "-1"}}, "pricing.inputPerMillion"),
        ({"pricing": {"inputPerMillion": "1e3"}}, "pricing.inputPerMillion"),
        ({"pricing": {**PRICES, "tiers": [{"aboveInputTokens": 2}, {"aboveInputTokens": 1}]}},
         "pricing.tiers"),
        ({"quality": {"default": "1.2"}}, "quality.default"),
        ({"quality": {"default": "1", "domains": [{"domain": "Math!", "quality": "1"}]}},
         "quality.domains[0].domain"),
        ({"quality": {"default": "1", "byBudget": [{"enforce": "hope", "points": []}]}},
         "quality.byBudget[0].enforce"),
    ],
)  # fmt: skip
def test_facts_that_are_wrong_are_refused_by_name(facts, path):
    findings = load(pool("hosted", [{"name": "gpt-x", **facts}])).findings
    assert f"spec.models[0].{path}" in {finding.path for finding in findings}


def test_two_curves_for_one_thing_and_points_out_of_order_are_refused():
    curve = {"enforce": "clamp", "points": [{"tokens": 1, "quality": "0.1"}]}
    found = problem(quality={"default": "1", "byBudget": [curve, curve]})
    assert found.path == "spec.models[0].quality.byBudget[1]"
    points = [{"tokens": 2, "quality": "0.1"}, {"tokens": 1, "quality": "0.1"}]
    found = problem(quality={"default": "1", "byBudget": [{"enforce": "clamp", "points": points}]})
    assert found.path == "spec.models[0].quality.byBudget[0].points"


@given(st.decimals("0", "999999999", places=9))
def test_prices_are_exact_whatever_their_digits(price):
    made = Pricing(inputPerMillion=f"{price:f}").snapshot()
    assert made.input_per_million == price
    assert type(made).model_validate_json(made.model_dump_json()) == made


def test_pickers_of_the_version_before_get_the_pool_without_its_facts():
    snapshot = compiled(pool("hosted", [FACTS])).snapshot
    former = lowered(snapshot).snapshot
    assert "modelFacts" not in former.model_dump_json(by_alias=True)
    assert only(former.pools).upgraded() == only(snapshot.pools).model_copy(update={"model_facts": ()})
