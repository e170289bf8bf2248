"""Counterfactuals: the change that is named flips the choice, and half of it does not."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from objective_fleet import OBJECTIVE, PAIR, ObjectiveFleet, model, plain

from pilotage_extproc.recording.counterfactual import Place, flips
from pilotage_extproc.scheduling.objective import Gain
from pilotage_extproc.scheduling.objective_choice import qualities

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
    column = "input_usd" if flip.what == "price" else "ttft"
    values = getattr(choice, column).copy()
    index = pick if flip.of == "pick" else flip.other.candidate
    values[index] += to - flip.before
    return replace(choice, **{column: values})


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
    choice = replace(choice, ttft=np.array([0.2, 0.9]))
    worth = choice.worth()[0]
    pick = int(worth.argmax())
    other = 1 - pick
    if worth[pick] - worth[other] < 1e-6:
        return
    found = flips(choice, Place(0, pick), [Place(0, other)])
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
    assert flips(chosen.choice, Place(0, pick), [Place(0, 1 - pick)]) == []
