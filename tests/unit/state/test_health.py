"""Endpoints that fail in a row are ejected for a time, longer each time, and tried again."""

from pilotage_api.snapshot import Engine, HealthSnapshot
from pilotage_extproc.state.endpoints import EndpointFacts, EndpointTable
from pilotage_extproc.state.health import MOST_TIMES, HealthLedger

FACTS = EndpointFacts(
    Engine.VLLM, ("default/a",), HealthSnapshot(consecutive_failures=3, ejection_seconds=10.0)
)
NOW = 1000.0


class Watched:
    def __init__(self) -> None:
        self.table = EndpointTable()
        self.table.sync({"a:1": FACTS})
        self.row = self.table.row_of("a:1")
        self.told: list[str] = []
        self.health = HealthLedger(self.table, on_ejected=self.told.append)

    def fail(self, times: int, now: float) -> None:
        for _ in range(times):
            self.health.failed(self.row, now)

    def out_until(self) -> float:
        return float(self.table.ejected_until[self.row])


def test_failures_in_a_row_eject_and_a_success_ends_the_row():
    one = Watched()
    one.fail(2, NOW)
    one.health.succeeded(one.row)
    one.fail(2, NOW)
    assert one.out_until() == 0
    one.fail(1, NOW)
    assert one.out_until() == NOW + 10
    assert one.told == ["a:1"]
    assert one.table.ejections == 1


def test_it_comes_back_on_probation_and_each_further_time_is_longer_up_to_a_bound():
    one = Watched()
    now = NOW
    one.fail(3, now)
    for times in range(2, MOST_TIMES + 4):
        now = one.out_until()
        one.health.readmit(now)
        assert one.out_until() == 0
        one.fail(1, now)
        assert one.out_until() == now + 10 * min(times, MOST_TIMES)


def test_good_behaviour_shortens_the_next_ejection():
    one = Watched()
    one.fail(3, NOW)
    one.health.readmit(NOW + 10)
    one.health.succeeded(one.row)
    one.fail(3, NOW + 10 + 25)
    assert one.out_until() == NOW + 35 + 10


def test_requests_under_way_when_it_was_ejected_tell_nothing_new():
    one = Watched()
    one.fail(3, NOW)
    one.fail(50, NOW + 1)
    assert one.out_until() == NOW + 10


def test_an_endpoint_where_nobody_listens_is_out_until_somebody_does():
    one = Watched()
    one.health.unreachable(one.row, NOW + 5)
    assert one.out_until() == NOW + 5
    one.health.reachable(one.row)
    assert one.out_until() == 0
    assert one.table.ejections == 0


def test_listening_again_does_not_shorten_an_ejection_for_failures():
    one = Watched()
    one.fail(3, NOW)
    one.health.unreachable(one.row, NOW + 20)
    one.health.reachable(one.row)
    assert one.out_until() == NOW + 10


def test_a_new_endpoint_in_the_row_starts_afresh():
    one = Watched()
    one.fail(2, NOW)
    one.table.sync({"b:1": FACTS})
    assert one.table.row_of("b:1") == one.row
    one.fail(1, NOW)
    assert one.out_until() == 0
