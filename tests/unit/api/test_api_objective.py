"""Objectives, output budgets and stickiness of rules: what is taken, refused, and warned of."""

from decimal import Decimal

import pytest
from api_manifests import brief, compiled, load, only, policy, pool

from pilotage_api.previous_snapshot import lowered

PRICED = {"inputPerMillion": "0.05", "outputPerMillion": "0.20"}
SMALL = {"name": "small", "pricing": PRICED, "quality": {"default": "0.6"}}
STRONG = {"name": "strong", "pricing": PRICED, "quality": {"default": "0.8"}}
OBJECTIVE = {
    "weights": {"quality": 100, "cost": 30, "latency": 20},
    "references": {"usd": "0.01", "seconds": "2"},
}


def rule(objective=OBJECTIVE, models=("small", "strong"), **more):
    return {"candidates": [{"model": one} for one in models], "objective": objective, **more}


def objective_of(**changes):
    return {**OBJECTIVE, **changes}


def by_cost(usd):
    return {"weights": {"cost": 1}, "references": {"usd": usd}}


def found(one, *models):
    pools = [pool(model["name"], [model]) for model in models or (SMALL, STRONG)]
    return compiled(*pools, policy("auto", rules=[one]))


def problem(one):
    return only(load(policy("auto", rules=[one])).findings)


def test_a_reference_that_is_no_time_is_told_as_a_time():
    one = problem(rule({"weights": {"latency": 1}, "references": {"seconds": "1e400"}}))
    assert "a number of seconds" in f"{one.message} {one.fix}"


def test_an_objective_reaches_the_snapshot():
    bounds = {"usdPerRequest": "0.05", "ttft": "2s", "tpot": "60ms", "whenNone": "refuse"}
    one = rule(
        objective_of(
            floor={"quality": "0.55"}, ceilings=bounds, strongGain={"weak": "small", "strong": "strong"}
        ),
        outputBudget={"levels": [256, 1024], "enforce": "instruct", "clampAt": 4096},
        stickiness={"scope": "conversation", "minimumGain": "0.1"},
    )
    [route] = found(one).snapshot.routes
    objective = route.rules[0].objective
    assert (objective.quality_weight, objective.cost_weight, objective.latency_weight) == (100, 30, 20)
    assert (objective.reference_usd, objective.reference_seconds) == (Decimal("0.01"), 2.0)
    assert objective.least_quality == 0.55
    assert objective.ceilings.usd_per_request == Decimal("0.05")
    assert (objective.ceilings.ttft_seconds, objective.ceilings.tpot_seconds) == (2.0, 0.06)
    assert (objective.ceilings.quantile, objective.ceilings.when_none) == (0.9, "refuse")
    assert (objective.strong_gain.weak, objective.strong_gain.strong) == ("small", "strong")
    assert route.rules[0].output_budget.levels == (256, 1024)
    assert route.rules[0].stickiness == 0.1


def test_a_rule_without_an_objective_has_none_in_the_snapshot():
    [route] = compiled(pool("small", ["small"]), policy("auto")).snapshot.routes
    assert route.rules[0].objective is route.rules[0].output_budget is route.rules[0].stickiness is None


@pytest.mark.parametrize(
    ("one", "code", "path"),
    [
        (rule({"weights": {"cost": 1}}), "missing-reference", "objective.references.usd"),
        (rule({"weights": {"latency": 1}}), "missing-reference", "objective.references.seconds"),
        (rule({"weights": {}}), "invalid-weights", "objective.weights"),
        (rule(by_cost("0.0")), "invalid-value", "objective.references.usd"),
        (rule(by_cost("-1")), "invalid-value", "objective.references.usd"),
        (rule(objective_of(floor={"quality": "1.5"})), "invalid-value", "objective.floor.quality"),
        (rule(objective_of(ceilings={"quantile": "0.2"})), "invalid-value", "objective.ceilings.quantile"),
        (rule(objective_of(ceilings={"ttft": "2"})), "invalid-value", "objective.ceilings.ttft"),
        (
            rule(objective_of(strongGain={"weak": "small", "strong": "other"})),
            "no-such-candidate",
            "objective.strongGain.strong",
        ),
        (
            rule(objective_of(strongGain={"weak": "small", "strong": "small"})),
            "invalid-value",
            "objective.strongGain.strong",
        ),
        (
            rule(outputBudget={"levels": [512, 256], "enforce": "clamp"}),
            "levels-out-of-order",
            "outputBudget.levels",
        ),
        (
            rule(outputBudget={"levels": [512], "enforce": "instruct", "clampAt": 256}),
            "invalid-value",
            "outputBudget.clampAt",
        ),
        (
            {"candidates": [{"model": "small"}], "outputBudget": {"levels": [1], "enforce": "clamp"}},
            "needs-objective",
            "outputBudget",
        ),
        (
            {"candidates": [{"model": "small", "weight": 1}], "objective": OBJECTIVE},
            "invalid-weights",
            "candidates",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_with_its_field_and_a_fix(one, code, path):
    finding = problem(one)
    assert (finding.code, finding.path) == (code, f"spec.rules[0].{path}")
    assert finding.fix


def test_facts_that_an_objective_reads_and_nobody_states_are_told():
    bare = {"name": "small"}
    codes = {(one.code, one.path) for one in found(rule(), bare, STRONG).findings}
    at = "spec.rules[0].candidates[0].model"
    assert codes == {("prices-missing", at), ("quality-missing", at)}


def test_a_latency_objective_needs_neither_prices_nor_quality():
    one = rule({"weights": {"latency": 1}, "references": {"seconds": "2"}})
    assert not found(one, {"name": "small"}, {"name": "strong"}).findings


def test_a_floor_that_nobody_reaches_is_an_error():
    finding = only(found(rule(objective_of(floor={"quality": "0.9"}))).findings)
    assert (finding.severity, finding.code) == ("error", "floor-not-reached")


def test_a_floor_that_one_candidate_never_reaches_is_a_warning():
    finding = only(found(rule(objective_of(floor={"quality": "0.7"}))).findings)
    assert (finding.severity, finding.code) == ("warning", "floor-not-reached")
    assert "'small'" in finding.message


def test_levels_without_a_curve_are_told():
    one = rule(outputBudget={"levels": [64, 256], "enforce": "clamp"})
    assert brief(found(one).findings) == [("warning", "curve-missing", "spec.rules[0].outputBudget")] * 2


def test_a_curve_under_clamp_that_falls_is_a_warning():
    points = [{"tokens": 64, "quality": "0.5"}, {"tokens": 256, "quality": "0.4"}]
    model = {"name": "m", "quality": {"default": "0.5", "byBudget": [{"enforce": "clamp", "points": points}]}}
    finding = only(compiled(pool("small", [model])).findings)
    assert (finding.code, finding.path) == ("falling-curve", "spec.models[0].quality.byBudget[0].points")


@pytest.mark.parametrize(
    ("features", "code"),
    [
        ({}, "gain-without-labels"),
        ({"shippedGain": "mixtral-8x7b-vs-gpt-4-1106"}, "gain-of-other-models"),
        ({"gainFile": "own.npz"}, None),
        ({"remote": {"url": "http://gain", "provides": ["strongGain"]}}, None),
    ],
)
def test_a_gain_that_nobody_tells_for_these_models_is_told(features, code):
    one = rule(objective_of(strongGain={"weak": "small", "strong": "strong"}))
    pools = [pool(model["name"], [model]) for model in (SMALL, STRONG)]
    result = compiled(*pools, policy("auto", rules=[one]), promptFeatures=features)
    assert [finding.code for finding in result.findings] == ([] if code is None else [code])


def test_an_objective_cannot_be_said_to_pickers_of_the_version_before():
    assert lowered(found(rule()).snapshot).policies == ("default/auto",)


def test_a_level_of_more_tokens_than_any_candidate_makes_is_told():
    budget = {"levels": [256, 1024, 4096], "enforce": "clamp"}
    curve = {"enforce": "clamp", "points": [{"tokens": 256, "quality": "0.5"}]}
    bounded = [
        {**one, "maxOutputTokens": most, "quality": {"default": "0.6", "byBudget": [curve]}}
        for one, most in ((SMALL, 512), (STRONG, 1024))
    ]
    one = only(found(rule(outputBudget=budget), *bounded).findings)
    assert (one.code, one.path) == ("no-effect", "spec.rules[0].outputBudget.levels[2]")
    assert one.message == "more than any candidate can make: 1024 at most, by maxOutputTokens"


@pytest.mark.parametrize(
    ("facts", "transform", "by", "levels"),
    [
        ({"contextWindow": 1000}, {}, "contextWindow", [2]),
        ({}, {"maximum": "300"}, "the transform's maximum of max_tokens", [1, 2]),
        ({"contextWindow": 8192, "maxOutputTokens": 4096}, {"maximum": "100"}, "the transform", [0, 1, 2]),
        ({"contextWindow": 8192}, {"maximum": "2048"}, None, []),
        ({}, {"default": "100"}, None, []),
        ({}, {}, None, []),
    ],
)
def test_a_level_beyond_a_models_window_or_a_transforms_maximum_is_told(facts, transform, by, levels):
    curve = {"enforce": "clamp", "points": [{"tokens": 256, "quality": "0.5"}]}
    models = [{**one, **facts, "quality": {"default": "0.6", "byBudget": [curve]}} for one in (SMALL, STRONG)]
    one = rule(outputBudget={"levels": [256, 512, 1024], "enforce": "clamp"})
    spec = {"transform": {"parameters": {"max_tokens": transform}}} if transform else {}
    pools = [pool(model["name"], [model]) for model in models]
    told = compiled(*pools, policy("auto", rules=[one], **spec)).findings
    assert [one.path for one in told] == [f"spec.rules[0].outputBudget.levels[{at}]" for at in levels]
    assert all(by in one.message for one in told)


@pytest.mark.parametrize(
    ("objective", "path"),
    [
        ({"weights": {"quality": 1}, "references": {"usd": "0.01"}}, "references.usd"),
        ({"weights": {"quality": 1}, "references": {"seconds": "2"}}, "references.seconds"),
        ({"weights": {"quality": 1}, "ceilings": {"quantile": "0.9"}}, "ceilings"),
        ({"weights": {"quality": 1}, "ceilings": {}}, "ceilings"),
        (
            {
                "weights": {"quality": 1},
                "floor": {"quality": "0.5"},
                "ceilings": {"quantile": "0.9", "whenNone": "refuse"},
            },
            "ceilings.quantile",
        ),
        (
            {
                "weights": {"quality": 1},
                "floor": {"quality": "0.5"},
                "ceilings": {"whenNone": "refuse"},
            },
            None,
        ),
        (
            {
                "weights": {"quality": 1},
                "references": {"usd": "0.01"},
                "ceilings": {"usdPerRequest": "1", "quantile": "0.9"},
            },
            None,
        ),
        ({"weights": {"quality": 1}, "ceilings": {"ttft": "2s"}}, None),
        (OBJECTIVE, None),
    ],
)
def test_what_of_an_objective_bounds_and_measures_nothing_is_told(objective, path):
    told = brief(found(rule(objective)).findings)
    assert told == ([] if path is None else [("warning", "no-effect", f"spec.rules[0].objective.{path}")])


@pytest.mark.parametrize(
    ("fields", "message", "fix"),
    [
        (
            {"pricing": {"inputPerMillion": "-1"}},
            "must be an amount of dollars from 0 on, as decimal text, not '-1'",
            'write it like "0.05"',
        ),
        ({"quality": {"default": "1.2"}}, "must be a number from 0 to 1, as decimal text, not '1.2'", None),
        (
            {"quality": {"default": 0.9}},
            "must be text, not 0.9",
            'write it in quotes: "0.9"',
        ),
    ],
)
def test_a_number_that_is_none_is_told_in_words(fields, message, fix):
    one = only(load(pool("p", [{"name": "m", **fields}])).findings)
    assert one.message == message
    assert fix is None or one.fix == fix
