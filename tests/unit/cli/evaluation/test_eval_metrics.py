"""Figures of routers are what their definitions say, on answers small enough to count by hand."""

import math

import numpy as np
import pytest

from pilotage_cli.evaluation.answers import answers_of
from pilotage_cli.evaluation.bootstrap import apgr_intervals, quality_at, resampled, weighted_apgr
from pilotage_cli.evaluation.evaluate import apgr_of, evaluate
from pilotage_cli.evaluation.metrics import auroc, curve_of, least_calls, order_of
from pilotage_cli.evaluation.routers import of_domains

# only the first of four prompts gains from the strong model
FOUR = answers_of([("a", "x", 0, 1), ("b", "x", 1, 1), ("c", "y", 1, 1), ("d", "y", 0, 0)], "weak", "strong")
BEST = np.array([3.0, 2.0, 1.0, 0.0])


def test_an_oracle_recovers_all_of_the_gap_by_its_first_calls():
    found = apgr_of(BEST, FOUR)
    # recovery is 0 at no call and 1 from a quarter on: one trapezoid of a half and three of one
    assert found.apgr == pytest.approx((0.5 + 3) / 4)
    assert (found.cpt50, found.cpt80, found.ability) == (0.25, 0.25, 1.0)
    assert found.hcr == pytest.approx(0.25)
    assert found.lpm == pytest.approx((0.5 + 0.75) / 2)
    assert found.mpm == pytest.approx(0.75)


def test_the_worst_order_recovers_nothing_until_the_last_call():
    found = apgr_of(-BEST, FOUR)
    assert found.apgr == pytest.approx(0.5 / 4)
    assert (found.cpt50, found.cpt80, found.ability, found.hcr) == (1.0, 1.0, 0.0, 1.0)
    assert found.lpm == pytest.approx(0.5)


def test_chance_recovers_half():
    dice = np.random.default_rng(1)
    many = answers_of([(str(one), "", 0, one % 3 == 0) for one in range(6000)], "w", "s")
    found = apgr_of(dice.random(6000), many)
    assert found.apgr == pytest.approx(0.5, abs=0.02)
    assert found.cpt80 == pytest.approx(0.8, abs=0.03)


def test_models_that_are_equal_have_no_gap_to_recover():
    equal = answers_of([("a", "", 1, 1), ("b", "", 0, 0)], "w", "s")
    assert math.isnan(apgr_of(np.array([1.0, 0.0]), equal).apgr)


def test_costs_follow_the_calls():
    curve = curve_of(np.array([0, 1]), np.zeros(2), np.ones(2), np.array([1.0, 1.0]), np.array([5.0, 9.0]))
    assert curve.cost.tolist() == [1.0, 3.0, 7.0]
    assert curve.quality.tolist() == [0.0, 0.5, 1.0]


def test_equal_scores_are_ordered_by_the_seed():
    scores = np.zeros(50)
    assert order_of(scores, 1).tolist() == order_of(scores, 1).tolist()
    assert order_of(scores, 1).tolist() != order_of(scores, 2).tolist()


def test_ties_count_half():
    assert auroc(np.array([1.0, 1.0, 0.0]), np.array([True, False, False])) == 0.75
    assert math.isnan(auroc(np.ones(3), np.ones(3, bool)))


def test_a_level_that_is_never_reached_has_no_calls():
    assert math.isnan(least_calls(np.array([0.0, 1.0]), np.array([0.0, 0.4]), 0.5))


def test_resampling_counts_prompts():
    found = resampled(4, lambda counts: float(counts.sum()), resamples=20)
    assert (found.value, found.low, found.high) == (4.0, 4.0, 4.0)
    assert weighted_apgr(order_of(BEST), FOUR.gap, np.ones(4)) == pytest.approx(apgr_of(BEST, FOUR).apgr)
    # the prompt that gains counts twice, another not at all
    assert weighted_apgr(order_of(BEST), FOUR.gap, np.array([2.0, 1, 1, 0])) == pytest.approx(0.25 + 0.5)
    assert quality_at(order_of(BEST), FOUR, 0.25, np.ones(4)) == 0.75


def test_a_router_that_is_better_has_an_interval_above_nothing():
    rows = [(str(one), "", 0, one % 2) for one in range(400)]
    answers = answers_of(rows, "w", "s")
    scores = {"router": answers.gap + np.linspace(0, 0.1, 400), "other": np.linspace(1, 0, 400)}
    found = apgr_intervals(scores, answers, "router", resamples=100)
    assert 0 < found["other"].low <= found["other"].value <= found["other"].high
    assert 0.2 < found["random"].low < found["random"].high < 0.3


def test_domain_only_knows_the_mean_gap_of_the_other_folds():
    rows = [(f"{one}", "a" if one % 2 else "b", 0, one % 2) for one in range(200)]
    scores = of_domains(np.array([row[1] for row in rows]), answers_of(rows, "w", "s"))
    assert set(np.round(scores, 6)) == {0.0, 1.0}


def test_an_evaluation_names_every_rival():
    found = evaluate(BEST, FOUR, np.array(["x", "x", "y", "y"]), resamples=5)
    assert set(found.figures) == {"router", "domain-only", "random", "oracle"}
    assert set(found.at_half) == {"domain-only", "random", "oracle", "always-weak", "always-strong"}
    assert found.at_half["always-strong"].value == 0.0
    assert found.at_half["always-weak"].value == 0.25
