"""Counterfactuals: the change that is named flips the choice, and half of it does not."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from objective_fleet import OBJECTIVE, PAIR, ObjectiveFleet, curve, levels, model, plain

from pilotage_extproc.recording.counterfactual import Place, flips
from pilotage_extproc.scheduling.objective import Gain
from pilotage_extproc.scheduling.objective_choice import qualities

RISING = curve("clamp", (64, 0.3), (256, 0.45), (1024, 0.6))
LEVELS = levels(64, 256, 1024)
facts = st.tuples(st.floats(0.1, 0.9), st.floats(0.1, 20))


def changed(choice, flip, pick, share=1.0):
    """The choice as it would be after a share of the change."""
    own = choice.objective
    to = flip.before + share * (flip.after - flip.before)
    if flip.what.startswith("weights."):
        return replace(choice, objective=replaced(own, f"{flip.what.removeprefix('weights.')}_weight", to))
    if flip.what == "prompt.strongGain":
        asked = replace(choice.asked, gain=Gain(to, choice.asked.gain.confidence))
        return replace(choice, asked=asked, quality=qualities(own, choice.budgets, asked))
    whose = pick if flip.of == "pick" else flip.other.candidate
    if flip.what == "load":
        alike = own.rows == own.rows[whose]
        return replace(choice, ttft=np.where(alike, choice.ttft + to - flip.before, choice.ttft))
    input_usd, output_usd, way = choice.input_usd.copy(), choice.output_usd.copy(), own.way_of[whose]
    input_usd[own.members[way]] *= to / flip.before
    output_usd[way] *= to / flip.before
    return replace(choice, input_usd=input_usd, output_usd=output_usd)


def replaced(objective, name, value):
    values = {
        one: getattr(objective, one)
        for one in objective.__dataclass_fields__
        if one not in ("bounded", "qualities")
    }
    return type(objective)(**(values | {name: value}))


@given(
    first=facts,
    second=facts,
    weights=st.tuples(st.integers(1, 100), st.integers(1, 100), st.integers(1, 100)),
    gain=st.floats(-0.9, 0.9),
)
def test_the_named_change_is_just_enough(first, second, weights, gain):
    fleet = ObjectiveFleet((model("weak", *first), model("strong", *second)), count=1)
    names = ("quality_weight", "cost_weight", "latency_weight")
    stated = OBJECTIVE.model_copy(update=dict(zip(names, weights, strict=True)))
    objective = fleet.objective(stated, strong_gain=PAIR)
    choice = fleet.choose(objective, plain(gain=Gain(gain, 0.8))).choice
    choice = replace(choice, ttft=np.array([0.2, 0.9]), timed=np.ones_like(choice.timed))
    worth = choice.worth()[0]
    pick = int(worth.argmax())
    other = 1 - pick
    if worth[pick] - worth[other] < 1e-6:
        return
    found = flips(choice, Place(0, pick), np.ones((1, 2), np.bool_))
    assert [flip.size for flip in found] == sorted(flip.size for flip in found)
    for flip in found:
        after = changed(choice, flip, pick).worth()[0]
        assert np.isclose(after[pick], after[other], atol=1e-9)
        half = changed(choice, flip, pick, 0.5).worth()[0]
        assert half[pick] > half[other]


def test_a_choice_between_equals_says_that_nothing_alone_flips_it():
    fleet = ObjectiveFleet((model("weak", 0.5, 0.2), model("strong", 0.5, 0.2)), count=1)
    chosen = fleet.choose()
    pick = chosen.ranking.order[0]
    assert flips(chosen.choice, Place(0, pick), np.ones((1, 2), np.bool_)) == []


def several_servers(seconds, tpot, cached, budget=LEVELS, shared=False):
    """A choice among three servers of each of two models, by levels; with `shared` one serves both."""
    models = [model(name, *facts, RISING) for name, *facts in (("weak", 0.5, 4), ("strong", 0.8, 9))]
    fleet = ObjectiveFleet(models, count=3)
    objective = fleet.objective(budget=budget)
    if shared:
        objective = replaced(objective, "rows", np.array([0, 1, 2, 0, 3, 4]))
    choice = fleet.choose(objective).choice
    return replace(
        choice,
        objective=objective,
        ttft=np.array(seconds),
        tpot=np.array(tpot),
        timed=np.ones_like(choice.timed),
        input_usd=choice.input_usd * (1 - np.array(cached)),
    )


def best_of(worth):
    return Place(*map(int, np.unravel_index(int(worth.argmax()), worth.shape)))


DIFFERENT = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
six = st.lists(st.floats(0.01, 5), min_size=6, max_size=6)


@given(
    seconds=six,
    tpot=st.lists(st.floats(0.001, 0.02), min_size=6, max_size=6),
    cached=st.lists(st.floats(0, 0.9), min_size=6, max_size=6),
    shared=st.booleans(),
)
def test_of_many_servers_and_budgets_exactly_the_named_one_would_have_been_chosen(
    seconds, tpot, cached, shared
):
    choice = several_servers(seconds, tpot, cached, shared=shared)
    worth = choice.worth()
    level, pick = best_of(worth)
    assume(np.sort(worth, axis=None)[-2] < worth.max() - 1e-6)
    for flip in flips(choice, Place(level, pick), np.ones_like(worth, np.bool_)):
        if flip.size > 100:
            continue
        half = changed(choice, flip, pick, 0.5).worth()
        assert half.max() == pytest.approx(half[level, pick], abs=1e-9)
        then = changed(choice, flip, pick, 1.0).worth()
        assert then.max() == pytest.approx(then[flip.other], abs=1e-9)
        beyond = changed(choice, flip, pick, 1.001).worth()
        assert beyond[flip.other] > beyond[level, pick]


def named(choice, offered=None):
    """The pick, and changes that would choose another place, by what is changed and whose."""
    worth = choice.worth()
    pick = best_of(worth)
    found = flips(choice, pick, np.ones_like(worth, np.bool_) if offered is None else offered)
    return pick, {(flip.what, flip.of): flip for flip in found}


def test_more_load_chooses_another_server_and_never_another_budget_at_the_same():
    choice = several_servers(DIFFERENT, [0.01] * 6, [0.0] * 6)
    pick, found = named(choice)
    assert found["load", "pick"].other.candidate != pick.candidate
    alone = np.zeros_like(choice.worth(), np.bool_)
    alone[:, pick.candidate] = True
    _, found = named(choice, alone)
    assert {what for what, _ in found} == {"weights.quality", "weights.cost", "weights.latency", "price"}


def test_dearer_output_chooses_a_tighter_budget_of_the_same_model():
    choice = several_servers(DIFFERENT, [0.0] * 6, [0.0] * 6)
    alone = np.zeros_like(choice.worth(), np.bool_)
    alone[:, 0] = True
    pick, found = named(choice, alone)
    price = found["price", "pick"]
    assert (price.other.level < pick.level) == (price.after > price.before)


def test_no_load_is_named_where_times_are_not_known():
    choice = several_servers(DIFFERENT, [0.01] * 6, [0.0] * 6)
    assert {("load", "pick"), ("load", "other")} <= named(choice)[1].keys()
    unknown = replace(choice, timed=np.zeros_like(choice.timed))
    assert "load" not in {what for what, _ in named(unknown)[1]}


def test_of_two_servers_that_are_level_no_load_is_named_that_would_choose_a_third():
    pick, found = named(several_servers([0.1, 0.1, *DIFFERENT[2:]], [0.01] * 6, [0.0] * 6))
    assert pick.candidate in (0, 1)
    assert ("load", "other") in found
    assert ("load", "pick") not in found
