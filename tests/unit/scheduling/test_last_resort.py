"""A request with one server to go to has another to fall back on."""

import numpy as np
from scheduling_fleet import NOW, Fleet

from pilotage_api.snapshot import SaturationSnapshot
from pilotage_extproc.scheduling.last_resort import with_last_resort

FULL = SaturationSnapshot(queue_depth=5)


def order(fleet: Fleet, **options) -> list[int]:
    return with_last_resort(fleet.rank(**options), fleet.candidates, fleet.table).order


def silence(fleet: Fleet, index: int) -> None:
    fleet.table.unreachable[fleet.candidates.rows[index]] = True


def eject(fleet: Fleet, *indices: int) -> None:
    for index in indices:
        fleet.table.eject(int(fleet.candidates.rows[index]), NOW + 5)


def test_a_full_server_follows_the_one_that_has_room():
    fleet = Fleet(3, saturation=FULL)
    fleet.set("waiting", 5, 4, 9)
    assert fleet.rank().order == [1]
    assert order(fleet) == [1, 0], "the less full one"


def test_a_failing_server_follows_the_one_that_works():
    fleet = Fleet(2)
    eject(fleet, 0)
    assert order(fleet) == [1, 0]


def test_a_full_server_is_better_than_one_that_fails():
    fleet = Fleet(4, saturation=FULL)
    fleet.set("waiting", 0, 9, 0, 0)
    eject(fleet, 2, 3)
    assert order(fleet) == [0, 1]


def test_where_nobody_listens_is_tried_last_as_it_may_be_back_by_then():
    fleet = Fleet(2)
    eject(fleet, 0)
    silence(fleet, 0)
    assert order(fleet) == [1, 0]
    fleet = Fleet(3, saturation=FULL)
    fleet.set("waiting", 0, 0, 9)
    eject(fleet, 0)
    silence(fleet, 0)
    assert order(fleet) == [1, 2]


def test_two_servers_that_work_are_enough():
    fleet = Fleet(3, saturation=FULL)
    fleet.set("waiting", 9, 0, 0)
    assert sorted(order(fleet)) == [1, 2]


def test_what_a_filter_that_is_not_soft_has_dropped_stays_out():
    fleet = Fleet(3, saturation=FULL)
    fleet.set("waiting", 9, 0, 9)
    targets = fleet.candidates.targets
    assert order(fleet, subset=(targets[1].address, targets[2].address)) == [1, 2]
    assert order(fleet, subset=(targets[1].address,)) == [1]


def test_another_model_is_no_last_resort_of_its_own():
    fleet = Fleet(2, tiers=2, saturation=FULL)
    fleet.set("waiting", 0, 9, 9, 9)
    assert order(fleet, limit=1) == [0, 1]


def test_the_ranking_is_the_same_but_for_its_order():
    fleet = Fleet(2)
    eject(fleet, 0)
    before = fleet.rank()
    after = with_last_resort(before, fleet.candidates, fleet.table)
    assert after.dropped is before.dropped
    assert np.array_equal(after.total, before.total)
