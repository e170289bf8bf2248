"""Output budgets on recorded answers: a cut answer is wrong, and mixes are the best for their money."""

import numpy as np
from bench.choice.answers import Question
from bench.choice.budgets import Option, best_mix
from bench.choice.routers import usd_of
from hypothesis import given
from hypothesis import strategies as st

QUESTIONS = [
    Question("gsm8k", (True, True), 400, (100, 50)),
    Question("gsm8k", (False, True), 400, (10, 300)),
]
EVERY = np.ones(1, np.bool_)


def option(usd, right):
    return Option(0, None, np.array([right]), np.array([usd]), np.array([1.0]))


def test_an_answer_that_is_cut_is_wrong_and_costs_its_budget():
    cut = Option.of(QUESTIONS, 1, 64)
    assert cut.right.tolist() == [1.0, 0.0]
    assert cut.usd.tolist() == [usd_of(1, 100, 50), usd_of(1, 100, 64)]


def test_without_a_budget_answers_are_as_recorded():
    assert Option.of(QUESTIONS, 0, None).right.tolist() == [1.0, 0.0]


points = st.lists(st.tuples(st.floats(0.1, 9), st.floats(0, 1)), min_size=1, max_size=8)


@given(points, st.floats(0, 10))
def test_a_mix_keeps_its_money_and_no_two_options_are_better_for_it(offered, usd):
    options = [option(*one) for one in offered]
    mix = best_mix(options, EVERY, usd)
    cheapest = min(one[0] for one in offered)
    assert sum(share for share, _ in mix) == 1
    assert sum(share * one.usd[0] for share, one in mix) <= max(usd, cheapest) + 1e-9
    right = sum(share * one.right[0] for share, one in mix)
    assert all(right >= one[1] - 1e-9 for one in offered if one[0] <= usd)
    for low in offered:
        for high in offered:
            if low[0] < usd < high[0]:
                part = (usd - low[0]) / (high[0] - low[0])
                assert right >= (1 - part) * low[1] + part * high[1] - 1e-6
