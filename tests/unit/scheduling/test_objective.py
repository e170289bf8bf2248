"""Choices by an objective: what they trade, and what never moves them."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from objective_fleet import (
    NOW,
    OBJECTIVE,
    PAIR,
    STRONG,
    WEAK,
    ObjectiveFleet,
    bounded,
    curve,
    levels,
    model,
    plain,
)

from pilotage_api.objective_snapshot import WhenNone
from pilotage_extproc.scheduling.chooser import HELD_BY_GAIN, HELD_BY_LOOP, OUT_OF_BOUNDS, WORTH_A_HOP
from pilotage_extproc.scheduling.objective import Gain
from pilotage_extproc.state.lengths import LengthBook

RISING = ((64, 0.2), (256, 0.5), (1024, 0.8))


def weighing(quality=0, cost=0, latency=0):
    changes = {"quality_weight": quality, "cost_weight": cost, "latency_weight": latency}
    return OBJECTIVE.model_copy(update=changes)


def test_quality_alone_takes_the_strong_model_and_cost_alone_the_cheap_one():
    fleet = ObjectiveFleet()
    assert fleet.model_of(fleet.choose(fleet.objective(weighing(quality=1)))) == "strong"
    assert fleet.model_of(fleet.choose(fleet.objective(weighing(cost=1)))) == "weak"


def test_the_last_attempt_is_another_model_so_that_one_that_fails_everywhere_has_a_fallback():
    fleet = ObjectiveFleet(count=5)
    order = fleet.choose(fleet.objective(weighing(quality=1))).ranking.order
    assert [fleet.candidates.targets[index].upstream_model for index in order] == ["strong", "strong", "weak"]


def test_a_strong_pool_that_drowns_loses_to_a_weak_one_that_is_idle():
    fleet = ObjectiveFleet()
    fleet.teach(0, 0.1, load=(0.0, 1.0, 5.0))
    fleet.teach(1, 0.3, load=(0.0, 1.0, 5.0, 20.0))
    objective = fleet.objective(weighing(quality=100, latency=20))
    assert fleet.model_of(fleet.choose(objective)) == "strong"
    fleet.set("waiting", 1, 30.0)
    assert fleet.model_of(fleet.choose(objective)) == "weak"


@pytest.mark.parametrize(("gain", "chosen"), [(0.6, "strong"), (-0.2, "weak"), (None, "strong")])
def test_the_prompts_expected_gain_decides_between_weak_and_strong(gain, chosen):
    fleet = ObjectiveFleet()
    objective = fleet.objective(weighing(quality=100, cost=30), strong_gain=PAIR)
    asked = plain(gain=None if gain is None else Gain(gain, 1.0))
    assert fleet.model_of(fleet.choose(objective, asked)) == chosen


def test_a_gain_that_is_not_sure_changes_nothing():
    fleet = ObjectiveFleet()
    objective = fleet.objective(strong_gain=PAIR)
    unsure = fleet.choose(objective, plain(gain=Gain(-1.0, 0.0))).choice
    assert np.array_equal(unsure.quality, fleet.choose(objective).choice.quality)


def test_a_gain_that_is_sure_is_the_gap_between_the_two():
    fleet = ObjectiveFleet()
    quality = fleet.choose(fleet.objective(strong_gain=PAIR), plain(gain=Gain(0.1, 1.0))).choice.quality[0]
    assert quality[1] - quality[0] == pytest.approx(0.1)
    assert quality.mean() == pytest.approx(0.65)


def test_quality_is_of_the_prompts_domain_where_that_is_stated():
    fleet = ObjectiveFleet((model("weak", 0.9, domains={"math": 0.1}), model("strong", 0.8)))
    objective = fleet.objective(weighing(quality=1))
    assert fleet.model_of(fleet.choose(objective)) == "weak"
    assert fleet.model_of(fleet.choose(objective, plain(domain="math"))) == "strong"
    assert objective.reads == {"prompt.domain"}


def test_an_objective_needs_only_the_features_it_reads():
    fleet = ObjectiveFleet()
    assert fleet.objective().reads == frozenset()
    assert fleet.objective(strong_gain=PAIR).reads == {
        "prompt.strongGain",
        "prompt.strongGainConfidence",
    }


def test_what_nobody_states_counts_as_the_stated_reference_and_half():
    fleet = ObjectiveFleet((model("weak"), model("strong")))
    choice = fleet.choose().choice
    assert choice.usd(0).tolist() == [0.01] * 4
    assert choice.seconds(0).tolist() == [2.0] * 4
    assert choice.quality.tolist() == [[0.5, 0.5]]


def test_a_floor_drops_what_is_below_it_and_says_so():
    fleet = ObjectiveFleet()
    chosen = fleet.choose(fleet.objective(weighing(cost=1), least_quality=0.7))
    assert fleet.model_of(chosen) == "strong"
    assert chosen.ranking.dropped[OUT_OF_BOUNDS].tolist() == [True, True, False, False]


def test_a_ceiling_on_money_counts_long_answers():
    fleet = ObjectiveFleet()
    for _ in range(100):
        fleet.experience.lengths.observe("default/p/r", "strong", 200, None)
    for _ in range(20):
        fleet.experience.lengths.observe("default/p/r", "strong", 2000, None)
    by_mean = fleet.choose(fleet.objective(weighing(quality=1))).choice
    assert by_mean.usd(0)[2] < 0.01  # as expected, an answer is cheap enough
    objective = fleet.objective(bounded(weighing(quality=1), usd_per_request=Decimal("0.01")))
    assert fleet.model_of(fleet.choose(objective)) == "weak"


def test_a_ceiling_on_the_first_token_drops_slow_servers_at_the_stated_quantile():
    fleet = ObjectiveFleet()
    fleet.teach(0, 0.1)
    fleet.teach(1, 3.0)
    objective = fleet.objective(bounded(weighing(quality=1), ttft_seconds=1.0))
    assert fleet.model_of(fleet.choose(objective)) == "weak"


def test_when_none_keeps_the_bounds_the_best_is_taken_or_the_request_refused():
    fleet = ObjectiveFleet()
    stated = bounded(weighing(quality=1), usd_per_request=Decimal("0.000001"))
    chosen = fleet.choose(fleet.objective(stated))
    assert (fleet.model_of(chosen), chosen.choice.within_bounds) == ("strong", False)
    stated = bounded(weighing(quality=1), usd_per_request=Decimal("0.000001"), when_none=WhenNone.REFUSE)
    assert fleet.choose(fleet.objective(stated)).ranking.order == []


def test_a_model_that_cannot_hold_the_prompt_or_lacks_a_capability_is_dropped():
    small = model("weak", 0.9, 0.2, context_window=500)
    blind = model("strong", 0.8, 10, capabilities=("tools",))
    fleet = ObjectiveFleet((small, blind))
    objective = fleet.objective(weighing(quality=1))
    assert fleet.model_of(fleet.choose(objective)) == "strong"
    assert fleet.model_of(fleet.choose(objective, plain(prompt_tokens=100.0))) == "weak"
    assert fleet.model_of(fleet.choose(objective, plain(prompt_tokens=1600.0, prompts=4))) == "weak"
    chosen = fleet.choose(objective, plain(prompt_tokens=100.0, needs=frozenset(["vision"])))
    assert "the model cannot do: vision" in chosen.ranking.dropped
    assert fleet.choose(objective, plain(needs=frozenset(["vision"]))).ranking.order == []


def test_prices_are_those_of_the_prompts_length():
    from pilotage_api.facts_snapshot import PriceTierSnapshot

    tier = PriceTierSnapshot(above_input_tokens=500, prices=STRONG.pricing)
    fleet = ObjectiveFleet(
        (WEAK.model_copy(update={"pricing": WEAK.pricing.model_copy(update={"tiers": (tier,)})}), STRONG)
    )
    long, short = (fleet.choose(asked=plain(prompt_tokens=tokens)).choice for tokens in (501.0, 500.0))
    assert long.input_usd[0] == pytest.approx(501e-6)
    assert short.input_usd[0] == pytest.approx(500 * 0.02e-6)


def test_input_costs_what_its_part_that_is_written_to_a_cache_costs():
    written = WEAK.pricing.model_copy(update={"cache_write_per_million": Decimal("0.025")})
    fleet = ObjectiveFleet((WEAK.model_copy(update={"pricing": written}), STRONG))
    assert fleet.choose().choice.input_usd[0] == pytest.approx(1000 * 0.02e-6)
    fleet.experience.writes.observe("default/p/r", "weak", uncached=1000, written=400)
    assert fleet.choose().choice.input_usd[0] == pytest.approx(600 * 0.02e-6 + 400 * 0.025e-6)
    other = fleet.objective()
    assert fleet.choose(replace(other, rule="default/p/other")).choice.input_usd[0] == pytest.approx(20e-6)


# budgets


def budgeted(*tokens, enforce="clamp"):
    fleet = ObjectiveFleet(
        (model("weak", 0.5, 0.2, curve(enforce, *RISING)), model("strong", 0.8, 10, curve(enforce, *RISING)))
    )
    return fleet, lambda stated=OBJECTIVE: fleet.objective(stated, levels(*tokens, enforce=enforce))


def test_the_budget_is_chosen_with_the_model():
    fleet, objective = budgeted(64, 256, 1024)
    assert fleet.choose(objective(weighing(quality=1))).choice.budget == 1024
    assert fleet.choose(objective(weighing(cost=1))).choice.budget == 64


def test_the_clients_own_limit_is_an_upper_bound_of_every_level():
    fleet, objective = budgeted(64, 256, 1024)
    choice = fleet.choose(objective(weighing(quality=1)), plain(limit=100)).choice
    assert choice.budgets == (64, 100)
    assert choice.budget == 100


def test_what_is_not_plain_has_no_budget():
    fleet, objective = budgeted(64, 256)
    assert fleet.choose(objective(), plain(plain=False)).choice.budgets == (None,)


def test_a_model_that_reasons_is_never_clamped():
    reasoning = model("strong", 0.8, 10, curve("clamp", *RISING), capabilities=("reasoning",))
    fleet = ObjectiveFleet((model("weak", 0.5, 0.2, curve("clamp", *RISING)), reasoning))
    chosen = fleet.choose(fleet.objective(weighing(quality=1), levels(64, 256)))
    assert (fleet.model_of(chosen), chosen.choice.budget) == ("strong", None)


def test_a_model_without_a_curve_is_offered_the_highest_level_alone():
    fleet = ObjectiveFleet()
    choice = fleet.choose(fleet.objective(weighing(cost=1), levels(64, 256, enforce="instruct"))).choice
    assert choice.budget == 256
    assert np.isnan(choice.quality[0]).all()


def unlike(usd=5, **facts):
    """A strong model that needs tokens, and a weak one that gains nothing by them."""
    flat, steep = (curve("clamp", *points) for points in (((64, 0.7), (1024, 0.7)), ((64, 0.1), (1024, 0.9))))
    return ObjectiveFleet((model("weak", 0.5, usd, flat, **facts), model("strong", 0.8, 10, steep)))


def budgets_of(fleet, chosen):
    targets, choice = fleet.candidates.targets, chosen.choice
    return {targets[at].upstream_model: choice.budget_at(at) for at in chosen.ranking.order}


def test_an_attempt_at_another_model_has_the_budget_that_suits_it():
    fleet = unlike()
    chosen = fleet.choose(fleet.objective(weighing(quality=100, cost=30), levels(64, 1024)))
    assert list(budgets_of(fleet, chosen).items()) == [("strong", 1024), ("weak", 64)]


def test_a_budget_that_is_hardly_better_is_not_worth_another_exchange():
    fleet = unlike(usd=0.2)
    chosen = fleet.choose(fleet.objective(weighing(quality=100, cost=30), levels(64, 1024)))
    worth = chosen.choice.worth()[:, 0]
    assert 0 < worth[0] - worth[1] < WORTH_A_HOP
    assert budgets_of(fleet, chosen) == {"strong": 1024, "weak": 1024}


def test_a_model_that_is_offered_no_budget_is_a_fallback_without_one():
    fleet = unlike(capabilities=("reasoning",))
    objective = fleet.objective(weighing(quality=100, cost=30), levels(64, 1024))
    assert budgets_of(fleet, fleet.choose(objective)) == {"strong": 1024, "weak": None}
    assert budgets_of(fleet, fleet.choose(objective, own_budgets=False)) == {"strong": 1024}


def test_a_later_attempts_own_budget_keeps_the_ceilings():
    fleet = unlike()
    stated = bounded(weighing(quality=100, cost=30), usd_per_request=Decimal("0.004"))
    chosen = fleet.choose(fleet.objective(stated, levels(64, 1024)))
    keeps = chosen.choice.keeps_bounds()
    assert all(
        keeps[chosen.choice.later_levels.get(at, chosen.choice.level), at] for at in chosen.ranking.order
    )


def test_attempts_have_the_budget_of_the_first_where_one_body_serves_all():
    fleet, objective = budgeted(64, 256, 1024)
    chosen = fleet.choose(objective(), own_budgets=False)
    assert chosen.choice.later_levels == {}
    assert np.isfinite(chosen.choice.worth()[chosen.choice.level, chosen.ranking.order]).all()


@given(tokens=st.sampled_from([64, 100, 256, 700, 1024]), seed=st.integers(0, 5))
def test_with_one_level_the_joint_search_is_a_search_over_points(tokens, seed):
    fleet = ObjectiveFleet(
        (model("weak", 0.5, 0.2, curve("clamp", *RISING)), model("strong", 0.8, 10, curve("clamp", *RISING))),
        seed=seed,
    )
    choice = fleet.choose(fleet.objective(budget=levels(tokens))).choice
    bounded_by_client = fleet.choose(asked=plain(limit=tokens)).choice
    assert choice.usd(0).tolist() == bounded_by_client.usd(0).tolist()
    assert choice.level == 0


@given(
    used=st.sets(st.sampled_from([32, 64, 128, 256, 512, 1024]), min_size=1),
    more=st.sets(st.sampled_from([48, 96, 192, 384, 768, 2048]), max_size=3),
    weights=st.tuples(st.integers(1, 100), st.integers(0, 100), st.integers(0, 100)),
)
def test_levels_that_are_not_chosen_change_nothing(used, more, weights):
    fleet, _ = budgeted(1)
    stated = weighing(*weights)
    few = fleet.choose(fleet.objective(stated, levels(*sorted(used)))).choice
    many = fleet.choose(fleet.objective(stated, levels(*sorted(used | more)))).choice
    for tokens in used:
        before, after = few.budgets.index(tokens), many.budgets.index(tokens)
        assert few.worth()[before].tolist() == many.worth()[after].tolist()
    assert many.worth().max() >= few.worth().max()


@given(
    lengths=st.lists(st.integers(1, 5000), max_size=60),
    tokens=st.lists(st.integers(1, 8000), min_size=2, max_size=8, unique=True),
)
def test_cost_never_rises_with_a_tighter_budget(lengths, tokens):
    fleet, _ = budgeted(1)
    for length in lengths:
        fleet.experience.lengths.observe("default/p/r", "weak", length, None)
    choice = fleet.choose(fleet.objective(budget=levels(*sorted(tokens)))).choice
    costs = np.stack([choice.usd(level) for level in range(len(choice.budgets))])
    assert (np.diff(costs, axis=0) >= -1e-15).all()


# what never moves a choice

facts = st.tuples(st.floats(0.05, 0.95), st.floats(0.01, 50))


@given(first=facts, second=facts, added=facts, gone=st.integers(0, 2))
def test_a_candidate_that_comes_or_goes_never_reorders_the_others(first, second, added, gone):
    three = [model(f"m{at}", *one) for at, one in enumerate((first, second, added))]
    left = [one for at, one in enumerate(three) if at != gone]
    all_of_them, fewer = ObjectiveFleet(tuple(three), count=1), ObjectiveFleet(tuple(left), count=1)
    worth = all_of_them.choose().choice.worth()[0]
    of_fewer = fewer.choose().choice.worth()[0]
    assert np.delete(worth, gone).tolist() == of_fewer.tolist()


def test_an_ejected_server_reorders_none_of_the_others():
    fleet = ObjectiveFleet(count=4)
    before = fleet.choose().choice.worth()[0]
    fleet.table.eject(int(fleet.candidates.rows[5]), NOW + 60)
    chosen = fleet.choose(limit=8)
    assert chosen.choice.worth()[0].tolist() == before.tolist()
    assert 5 not in chosen.ranking.order


# conversations


def test_a_conversation_stays_where_the_gain_is_small_and_moves_where_it_is_not():
    fleet = ObjectiveFleet()
    stated = weighing(quality=1)
    stays = fleet.choose(fleet.objective(stated, minimum_gain=0.5), plain(last_tier=0))
    assert (fleet.model_of(stays), stays.choice.held) == ("weak", HELD_BY_GAIN)
    fallbacks = [fleet.candidates.targets[index].upstream_model for index in stays.ranking.order[1:]]
    assert "strong" in fallbacks  # should its model fail everywhere
    moves = fleet.choose(fleet.objective(stated, minimum_gain=0.1), plain(last_tier=0))
    assert (fleet.model_of(moves), moves.choice.held) == ("strong", "")


def test_a_conversation_never_moves_inside_a_tool_loop():
    fleet = ObjectiveFleet()
    objective = fleet.objective(weighing(quality=1), minimum_gain=0.0, least_quality=0.7)
    chosen = fleet.choose(objective, plain(last_tier=0, in_tool_loop=True))
    assert (fleet.model_of(chosen), chosen.choice.held) == ("weak", HELD_BY_LOOP)


def test_a_conversation_moves_where_nothing_of_its_model_is_left():
    fleet = ObjectiveFleet()
    fleet.table.drain(fleet.names[0])
    objective = fleet.objective(weighing(cost=1), minimum_gain=0.9)
    assert fleet.model_of(fleet.choose(objective, plain(last_tier=0, in_tool_loop=True))) == "strong"


# exploration


def test_now_and_then_the_replica_of_which_least_is_known_is_tried():
    fleet = ObjectiveFleet(count=3, chance=lambda: 0.0)
    fleet.teach(0, 0.1)
    fleet.teach(1, 0.1)
    picks = {fleet.choose(fleet.objective(weighing(latency=1, cost=1))).ranking.order[0] for _ in range(20)}
    assert picks and 0 not in picks  # the first one has taught all that is known


def test_lengths_of_answers_cut_at_a_budget_say_only_that_they_are_longer():
    book = LengthBook()
    for _ in range(200):
        book.observe("r", "m", 1000, None)
    before = book.of("r", "m").expected(10_000)
    for _ in range(200):
        book.observe("r", "m", 100, 100)
    assert book.of("r", "m").expected(10_000) == pytest.approx(before, rel=0.02)
