"""`poolSaturation` does not make three pickers swing: in virtual time, against figures that are not held."""

import pytest
from flapping_fleet import BOUNDS, Figures, run

from pilotage_extproc.rules.pool_figures import SteadyPools, pool_figures


def held() -> Figures:
    pools = SteadyPools()
    return lambda table, rows, now: pools.figures("default/p", table, rows, BOUNDS, now)


def plain() -> Figures:
    return lambda table, rows, now: pool_figures(table, rows, BOUNDS, now)


@pytest.mark.parametrize("load", [1.1, 1.5, 2.5])
def test_an_overloaded_pool_stays_busy_and_bounded_while_the_rest_goes_elsewhere(load):
    """An oscillation would fill the pool far beyond the threshold, then let it run empty."""
    told = run(load, held)
    assert told.most < 1.5
    assert told.idle_share < 0.05
    assert told.diverted_share == pytest.approx(1 - 1 / load, abs=0.06)


@pytest.mark.parametrize("load", [1.1, 1.5, 2.5])
def test_rules_change_their_mind_far_less_often_than_without_holding(load):
    assert run(load, held).changes_a_minute < run(load, plain).changes_a_minute / 2


def test_a_pool_near_its_limit_is_hardly_ever_left():
    told = run(0.9, held)
    assert told.changes_a_minute <= 6
    assert told.diverted_share < 0.03
