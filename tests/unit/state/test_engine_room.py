"""How many requests engines can take is learned from what they report."""

import numpy as np
import pytest

from pilotage_api.snapshot import Engine
from pilotage_extproc.state.endpoints import EndpointFacts, EndpointTable
from pilotage_extproc.state.engine_room import FIRST_RUNNING, EngineRoom
from pilotage_extproc.state.inflight import InflightCounts
from pilotage_extproc.state.peer_load import PeerLoad

ROW = np.array([0])


class Fleet:
    """One engine, its figures, and what is thought of its room."""

    def __init__(self):
        self.table = EndpointTable()
        self.table.sync({"10.0.0.1:80": EndpointFacts(Engine.VLLM, ("default/a",))})
        self.row = self.table.row_of("10.0.0.1:80")
        self.inflight = InflightCounts(self.table)
        self.now = 0.0
        self.peers = PeerLoad(self.table, lambda: self.now)
        self.room = EngineRoom(self.table, self.peers)

    def scrape(self, running, waiting=0):
        self.now += 0.1
        self.table.running[self.row] = running
        self.table.waiting[self.row] = waiting
        self.table.scraped_at[self.row] = self.now
        self.inflight.scraped(self.row, self.now, idle=not running and not waiting)
        self.room.scraped(self.row)

    def place(self, count=1):
        self.now += 0.001
        return [self.inflight.begin(f"{self.now}-{n}", self.row, self.now) for n in range(count)]

    def free(self, depth=1):
        return float(self.room.free(np.array([self.row]), depth)[0])


def test_an_engine_of_which_nothing_is_known_takes_a_few():
    fleet = Fleet()
    assert fleet.free() == FIRST_RUNNING + 1
    fleet.place(5)
    assert fleet.free() == FIRST_RUNNING + 1 - 5


def test_an_engine_that_has_never_queued_may_get_twice_what_it_runs():
    fleet = Fleet()
    fleet.scrape(running=20)
    assert fleet.free() == 2 * 20 + 1 - 20


def test_what_an_engine_runs_while_it_queues_is_what_it_can_run():
    fleet = Fleet()
    fleet.scrape(running=4, waiting=2)
    fleet.scrape(running=4, waiting=2)
    assert fleet.free(depth=1) == 4 + 1 - 6
    fleet.scrape(running=3)
    assert fleet.free(depth=1) == 4 + 1 - 3


def test_a_burst_that_was_not_looked_at_yet_says_nothing():
    fleet = Fleet()
    fleet.scrape(running=1, waiting=30)
    fleet.scrape(running=31)
    assert fleet.free() == 62 + 1 - 31


def test_an_engine_that_runs_more_than_was_thought_has_room_for_more():
    fleet = Fleet()
    for _ in range(2):
        fleet.scrape(running=4, waiting=2)
    fleet.scrape(running=5)
    assert fleet.free() == 5 + 1 - 5


def test_own_requests_count_at_once_and_for_each_silent_picker():
    fleet = Fleet()
    fleet.scrape(running=8)
    fleet.peers.meet(lambda: 3)
    before = fleet.free()
    fleet.place(2)
    assert fleet.free() == before - 6


@pytest.mark.parametrize("pickers", [1, 2, 4])
def test_pickers_that_see_the_same_figures_exceed_the_room_by_less_than_their_number(pickers):
    fleets = [Fleet() for _ in range(pickers)]
    placed = 0
    for fleet in fleets:
        fleet.scrape(running=4, waiting=1)
        fleet.scrape(running=4, waiting=1)
        fleet.scrape(running=1)
        fleet.peers.meet(lambda: pickers)
        while fleet.free(depth=2) >= 1:
            fleet.place()
            placed += 1
    assert 5 <= placed < 5 + pickers


def test_another_engine_in_the_same_row_begins_anew():
    fleet = Fleet()
    for _ in range(2):
        fleet.scrape(running=2, waiting=2)
    fleet.table.sync({})
    fleet.table.sync({"10.0.0.2:80": EndpointFacts(Engine.VLLM, ("default/a",))})
    fleet.row = fleet.table.row_of("10.0.0.2:80")
    assert fleet.free() == FIRST_RUNNING + 1


def test_use_is_one_where_nothing_more_fits():
    fleet = Fleet()
    for _ in range(2):
        fleet.scrape(running=4, waiting=1)
    assert fleet.room.use(np.array([fleet.row]), 1) == 1.0
    fleet.scrape(running=0)
    assert fleet.room.use(np.array([fleet.row]), 1) == 0.0
