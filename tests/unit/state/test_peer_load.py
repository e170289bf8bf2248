"""What other pickers have in flight counts against the room at servers, as far as it is known."""

import numpy as np
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_api.snapshot import Engine
from pilotage_extproc.state.endpoints import EndpointFacts, EndpointTable
from pilotage_extproc.state.engine_room import FIRST_RUNNING, EngineRoom
from pilotage_extproc.state.inflight import InflightCounts
from pilotage_extproc.state.peer_load import SILENT_SECONDS, Demand, PeerLoad
from pilotage_extproc.state.picker_shares import WINDOW_SECONDS, places

AT = "10.0.0.1:80"
WAITS = Demand(0, 0.05, {"t": 1.0})


class Picker:
    """One of several before one engine."""

    def __init__(self, name="a", pickers=2):
        self.name = name
        self.now = 100.0
        self.table = EndpointTable()
        self.table.sync({AT: EndpointFacts(Engine.VLLM, ("default/a",))})
        self.row = self.table.row_of(AT)
        self.inflight = InflightCounts(self.table)
        self.load = PeerLoad(self.table, lambda: self.now)
        self.load.meet(lambda: pickers)
        self.room = EngineRoom(self.table, self.load)
        self.held = []

    def place(self, count=1):
        for _ in range(count):
            self.now += 0.001
            self.held.append(self.inflight.begin(str(self.now), self.row, self.now))

    def end(self):
        self.inflight.end(self.held.pop(0))

    def hear(self, count, process="b", everything=False, waiting=()):
        self.load.hear(process, {AT: count}, dict(waiting), everything=everything)

    def scrape(self, running, waiting=0):
        self.now += 0.1
        self.table.running[self.row], self.table.waiting[self.row] = running, waiting
        self.table.scraped_at[self.row] = self.now
        self.inflight.scraped(self.row, self.now, idle=not running and not waiting)
        self.room.scraped(self.row)

    def free(self):
        return float(self.room.free(np.array([self.row]), 0.0)[0])


def test_what_others_have_sent_since_the_scrape_takes_room():
    picker = Picker()
    picker.hear(0)
    before = picker.free()
    picker.hear(3)
    assert picker.free() == before - 3


def test_what_others_had_when_the_engine_was_scraped_is_counted_once():
    picker = Picker()
    picker.hear(3)
    picker.scrape(running=3)
    assert picker.free() == FIRST_RUNNING - 3


def test_what_ends_at_others_makes_room_before_the_next_scrape():
    picker = Picker()
    picker.hear(5)
    picker.scrape(running=8)
    before = picker.free()
    picker.hear(3)
    assert picker.free() == before + 2


def test_own_requests_count_for_each_other_until_these_know_of_them():
    picker = Picker(pickers=3)
    picker.hear(0, "b")
    picker.hear(0, "c")
    picker.place()
    assert picker.free() == FIRST_RUNNING - 3
    picker.load.telling({})
    assert picker.free() == FIRST_RUNNING - 3
    picker.load.telling({})
    assert picker.free() == FIRST_RUNNING - 1


def test_of_a_silent_picker_it_is_assumed_until_the_scrape_that_it_does_alike():
    picker = Picker()
    picker.place()
    picker.load.telling({})
    picker.load.telling({})
    assert picker.free() == FIRST_RUNNING - 2
    picker.scrape(running=1)
    assert picker.free() == FIRST_RUNNING - 1


def test_one_that_has_gone_is_forgotten_and_its_requests_stay_in_the_engine_s_figures():
    picker = Picker()
    picker.hear(4)
    picker.scrape(running=4)
    picker.now += SILENT_SECONDS + 0.1
    picker.load.telling({})
    assert picker.free() == FIRST_RUNNING - 4
    picker.scrape(running=0)
    assert picker.free() == FIRST_RUNNING


def test_a_full_report_replaces_all_that_was_told():
    picker = Picker()
    picker.hear(4)
    picker.load.hear("b", {}, {}, everything=True)
    assert picker.free() == FIRST_RUNNING


def test_another_server_in_the_same_row_has_nothing_of_the_former():
    picker = Picker()
    picker.hear(4)
    picker.table.sync({})
    picker.table.sync({"10.0.0.2:80": EndpointFacts(Engine.VLLM, ("default/a",))})
    picker.row = picker.table.row_of("10.0.0.2:80")
    assert picker.free() == FIRST_RUNNING


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(["place", "end", "tell", "deliver"])), max_size=80
    )
)
@settings(max_examples=examples(200), deadline=None)
def test_pickers_that_tell_each_other_exceed_the_room_by_less_than_their_number(steps):
    """Whenever news are delivered, as long as each interval's are before the next but one begins."""
    pickers = [Picker(str(number), 3) for number in range(3)]
    for one in pickers:
        for other in pickers:
            if other is not one:
                one.hear(0, other.name)
    mail: list[tuple[Picker, str, int]] = []

    def deliver():
        for to, process, count in mail:
            to.hear(count, process)
        mail.clear()

    for which, step in steps:
        one = pickers[which]
        if step == "place" and one.free() >= 1:
            one.place()
        elif step == "end" and one.held:
            one.end()
        elif step == "deliver":
            deliver()
        elif step == "tell":
            deliver()  # what all told an interval ago has arrived
            for teller in pickers:
                teller.load.telling({})
                count = int(teller.table.inflight[teller.row])
                mail += [(to, teller.name, count) for to in pickers if to is not teller]
        assert sum(len(picker.held) for picker in pickers) < FIRST_RUNNING + 3


def test_who_waits_elsewhere_is_known_by_pool():
    picker = Picker()
    picker.hear(1, waiting={"default/a": WAITS}.items())
    assert picker.load.waiting(["default/a"]) == {"b": WAITS}
    assert picker.load.waiting(["default/b"]) == {}
    rows = np.array([picker.row])
    assert picker.load.of_idle(rows, ["b"]) == 0
    assert picker.load.of_idle(rows, []) == 1


@pytest.mark.parametrize("total", [1, 2, 7, 64])
def test_shares_of_pickers_add_up_to_what_there_is(total):
    demands = dict.fromkeys("abcd", WAITS)
    for window in range(50):
        now = window * WINDOW_SECONDS
        assert sum(places(demands, name, total, now) for name in demands) == total


def test_a_share_of_less_than_one_place_is_a_place_now_and_then():
    demands = dict.fromkeys("abcd", WAITS)
    had = {name: sum(places(demands, name, 1, n * WINDOW_SECONDS) for n in range(400)) for name in demands}
    assert all(90 <= count <= 110 for count in had.values())


def test_a_tenant_that_waits_at_two_pickers_counts_half_at_each():
    both, loud = Demand(0, 0, {"t": 1.0, "u": 1.0}), Demand(0, 0, {"u": 1.0})
    assert places({"a": both, "b": loud}, "a", 100, 0.0) == 75


def test_those_of_lower_priority_have_their_minimum_share():
    urgent = Demand(5, 0.05, {"u": 1.0})
    assert places({"a": WAITS, "b": urgent}, "a", 105, 0.0) == 5
