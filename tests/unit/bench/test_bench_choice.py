"""The bench of choices: its sample, its routers, and how fronts are compared."""

import pytest
from bench.choice.answers import read_sample, split
from bench.choice.fleet import Load, Run
from bench.choice.routers import always, by_objective, saturation_rule
from bench.choice.suite import Mean, Measured, outside


@pytest.fixture(scope="module")
def questions():
    return read_sample()


def test_the_sample_holds_both_verdicts_and_no_text(questions):
    assert len(questions) == 1600
    weak, strong = (sum(one.correct[model] for one in questions) / 1600 for model in (0, 1))
    assert weak < strong < 1


def test_what_is_replayed_taught_no_prior(questions):
    priors, replayed = split(questions, 1)
    assert len(replayed) == 800
    assert set(priors.groups) <= {one.group for one in questions}


@pytest.mark.parametrize(
    ("make", "strong"), [(always(0), {0}), (always(1), {1}), (saturation_rule(0.8), {0, 1})]
)
def test_every_question_is_answered_once(questions, make, strong):
    priors, replayed = split(questions, 1)
    run = Run(make, priors, 1)
    run.serve(replayed, Load(first=4, last=12, seconds=8), 1)
    assert len(run.answered) > 30
    assert {one.model for one in run.answered} <= strong


def test_the_same_seed_gives_the_same_run(questions):
    priors, replayed = split(questions, 2)
    runs = [Run(by_objective(100, 20, 20), priors, 2) for _ in range(2)]
    for run in runs:
        run.serve(replayed, Load(first=4, last=12, seconds=6), 2)
    assert runs[0].answered == runs[1].answered


def test_a_rival_is_judged_against_the_front_at_its_own_cost():
    runs = {
        "pilotage a": [Measured(0.5, 1.0, 0), Measured(0.52, 1.0, 0)],
        "pilotage b": [Measured(0.9, 3.0, 1), Measured(0.92, 3.0, 1)],
        "worse": [Measured(0.6, 2.0, 0), Measured(0.62, 2.0, 0)],
        "better": [Measured(0.95, 2.0, 0), Measured(0.97, 2.0, 0)],
    }
    [worse, better] = outside(runs)
    assert worse.text.startswith("the front is beyond worse: +0.100")
    assert better.text.startswith("the front is inside better: -0.250")


def test_one_seed_has_no_interval():
    assert Mean.of([0.5]).half == float("inf")
