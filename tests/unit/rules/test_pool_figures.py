"""Figures of pools: own requests counted, unknown where nothing is known, and held against flapping."""

import numpy as np
import pytest

from pilotage_api.snapshot import Engine, SaturationSnapshot
from pilotage_extproc.rules.condition import UNKNOWN
from pilotage_extproc.rules.pool_figures import PoolFigures, SteadyPools, pool_figures, value_of
from pilotage_extproc.state.endpoints import EndpointFacts, EndpointTable

NOW = 100.0
UNSHOWN = float("nan")
BOUNDS = SaturationSnapshot(queue_depth=10, kv_cache_utilization=0.5)


def table_of(*servers: tuple[float, float]) -> tuple[EndpointTable, np.ndarray]:
    """Admitted servers, measured as (waiting, share of the KV cache)."""
    table = EndpointTable()
    addresses = [f"10.0.0.{index}:1" for index in range(len(servers))]
    table.sync({one: EndpointFacts(Engine.VLLM, ("default/p",)) for one in addresses})
    table.admit(addresses)
    rows = np.array([table.row_of(one) for one in addresses], dtype=np.intp)
    for row, (waiting, kv) in zip(rows.tolist(), servers, strict=True):
        table.measured(row, NOW, waiting, 0, kv)
    return table, rows


def test_saturation_is_the_mean_of_each_servers_fuller_half():
    table, rows = table_of((5, 0.1), (0, 0.5))
    assert pool_figures(table, rows, BOUNDS, NOW) == PoolFigures(ready=True, saturation=0.75, queue=5)


def test_bounds_that_a_pool_does_not_set_are_those_of_the_inference_extension():
    table, rows = table_of((5, 0.0), (0, 0.8))
    assert pool_figures(table, rows, SaturationSnapshot(), NOW).saturation == 1.0


def test_own_requests_since_the_scrape_wait_where_others_do():
    table, rows = table_of((1, 0.0), (0, 0.0))
    table.unseen[rows] = 4
    assert pool_figures(table, rows, BOUNDS, NOW).queue == 5


@pytest.mark.parametrize("why", ["draining", "ejected", "pending"])
def test_servers_that_take_no_requests_do_not_count(why):
    table, rows = table_of((0, 0.0), (10, 0.0))
    if why == "draining":
        table.drain(["10.0.0.1:1"])
    elif why == "ejected":
        table.eject(int(rows[1]), NOW + 1)
    else:
        table.admitted[rows[1]] = False
    assert pool_figures(table, rows, BOUNDS, NOW) == PoolFigures(ready=True, saturation=0.0, queue=0)


def test_a_pool_without_servers_that_take_requests_is_full_and_not_ready():
    table, rows = table_of((0, 0.0))
    table.drain(["10.0.0.0:1"])
    nothing = PoolFigures(ready=False, saturation=1.0, queue=0)
    assert pool_figures(table, rows, BOUNDS, NOW) == nothing
    assert pool_figures(table, rows[:0], BOUNDS, NOW) == nothing


def test_servers_that_show_no_load_leave_it_unknown():
    table, rows = table_of((3, 0.1))
    table.expire(int(rows[0]))
    found = pool_figures(table, rows, BOUNDS, NOW)
    assert found == PoolFigures(ready=True, saturation=None, queue=None)
    assert value_of("poolReady", found) is True
    assert value_of("poolQueue", found) is value_of("poolSaturation", found) is UNKNOWN


@pytest.mark.parametrize(
    ("servers", "saturation", "queue"),
    [
        ([(0, 0.4), (0, UNSHOWN)], 0.8, 0),
        ([(5, UNSHOWN), (0, UNSHOWN)], 0.25, 5),
        ([(UNSHOWN, 0.1), (8, 0.1)], 0.8, 16),
        ([(UNSHOWN, 0.4), (UNSHOWN, 0.0)], 0.4, None),
        ([(UNSHOWN, UNSHOWN)], None, None),
    ],
    ids=["one cache", "all caches", "one queue", "all queues", "everything"],
)
def test_a_share_that_a_server_does_not_show_is_the_worst_known_or_does_not_count(servers, saturation, queue):
    table, rows = table_of(*servers)
    found = pool_figures(table, rows, BOUNDS, NOW)
    assert found.saturation == (None if saturation is None else pytest.approx(saturation))
    assert found.queue == queue


def test_a_condition_is_never_told_a_figure_that_is_no_number():
    assert value_of("poolSaturation", PoolFigures(ready=True, saturation=UNSHOWN, queue=0)) is UNKNOWN


def read(pools: SteadyPools, waiting: float, now: float) -> PoolFigures:
    table, rows = table_of((waiting, 0.0))
    return pools.figures("default/p", table, rows, BOUNDS, now)


def test_a_figure_rises_at_once_and_falls_from_half_on():
    pools = SteadyPools()
    held = [read(pools, waiting, NOW + at).queue for at, waiting in enumerate([0, 8, 5, 4, 3, 2, 0])]
    assert held == [0, 8, 8, 8, 6, 4, 0]


def test_what_nobody_read_for_long_is_not_held():
    pools = SteadyPools()
    read(pools, 8, NOW)
    assert read(pools, 5, NOW + 60).queue == 5


def test_figures_are_computed_once_for_requests_of_one_moment():
    pools = SteadyPools()
    assert read(pools, 8, NOW) is read(pools, 0, NOW + 0.005)


def test_a_pool_is_ready_again_after_a_second():
    pools = SteadyPools()
    table, rows = table_of((0, 0.0))

    def ready(at: float) -> bool:
        return pools.figures("default/p", table, rows, BOUNDS, NOW + at).ready

    assert ready(0)
    table.drain(["10.0.0.0:1"])
    assert not ready(1)
    table.restore(["10.0.0.0:1"])
    assert not ready(1.5)
    assert ready(2.1)


def test_pools_that_are_gone_are_forgotten():
    pools = SteadyPools()
    read(pools, 8, NOW)
    pools.keep_only(["default/q"])
    assert read(pools, 5, NOW + 1).queue == 5
