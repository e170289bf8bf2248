"""Whose fault a failed attempt is, and who is left alone for it."""

import pytest

from pilotage_api.snapshot import Engine, HealthSnapshot
from pilotage_extproc.domain.decision import Target
from pilotage_extproc.domain.failed_attempt import FailedAttempt
from pilotage_extproc.scheduling.attempt_judge import AttemptJudge
from pilotage_extproc.state.breakers import LONGEST_SECONDS, Breakers, Circuit
from pilotage_extproc.state.endpoints import EndpointFacts, EndpointTable
from pilotage_extproc.state.health import HealthLedger

NOW = 1000.0
OWN, HOSTED = "default/own", "default/hosted"
FACTS = {
    "10.0.0.1:80": EndpointFacts(Engine.VLLM, (OWN,), HealthSnapshot(consecutive_failures=2)),
    "10.0.0.9:80": EndpointFacts(Engine.OPENAI, (HOSTED,), HealthSnapshot(consecutive_failures=2)),
}


class Judged:
    def __init__(self) -> None:
        self.table = EndpointTable()
        self.table.sync(FACTS)
        self.breakers = Breakers()
        self.judge = AttemptJudge(
            self.table, HealthLedger(self.table), self.breakers, is_external=HOSTED.__eq__
        )

    def fail(self, pool: str, status: int, flag: str = "", seconds: float | None = None, times: int = 1):
        address = "10.0.0.1:80" if pool == OWN else "10.0.0.9:80"
        target = Target(self.table.row_of(address), address, pool, "m")
        attempt = FailedAttempt("d-1", address, 1, status, (flag,) if flag else (), stay_away_seconds=seconds)
        for _ in range(times):
            told = self.judge.failed(target, attempt, NOW)
        return told

    def out(self, pool: str) -> float:
        row = self.table.row_of("10.0.0.1:80" if pool == OWN else "10.0.0.9:80")
        return max(0.0, float(self.table.ejected_until[row]) - NOW)

    def open(self) -> set[Circuit]:
        return set(self.breakers.blocked(NOW))


@pytest.mark.parametrize("pool", [OWN, HOSTED])
@pytest.mark.parametrize(
    ("status", "flag"),
    [(0, "upstream_connection_failure"), (0, "upstream_request_timeout"), (0, ""), (502, ""), (503, "")],
)
def test_one_that_cannot_be_reached_is_late_or_overloaded_is_left_alone(pool, status, flag):
    judged = Judged()
    assert judged.fail(pool, status, flag, times=2)
    assert judged.out(pool) > 0
    assert judged.open() == set()


def test_a_500_may_be_the_requests_own():
    judged = Judged()
    assert not judged.fail(OWN, 500, times=9)
    assert judged.out(OWN) == 0


def test_a_provider_that_could_not_be_asked_is_not_to_blame():
    judged = Judged()
    address = "10.0.0.9:80"
    target = Target(judged.table.row_of(address), address, HOSTED, "m")
    attempt = FailedAttempt("d-1", address, 1, 400, not_asked=True)
    assert attempt.reason == "capability"
    for _ in range(9):
        assert not judged.judge.failed(target, attempt, NOW)
    assert (judged.open(), judged.out(HOSTED)) == (set(), 0)


def test_an_own_server_that_asks_to_be_left_alone_is_and_others_are_not():
    judged = Judged()
    judged.fail(OWN, 429, seconds=7)
    assert judged.out(OWN) == pytest.approx(7)
    judged.fail(OWN, 429, seconds=10**6)
    assert judged.out(OWN) == pytest.approx(LONGEST_SECONDS)
    assert judged.open() == set()


def test_a_provider_that_limits_a_model_is_asked_for_its_other_models():
    judged = Judged()
    judged.fail(HOSTED, 429, seconds=7)
    assert judged.open() == {Circuit(HOSTED, "m")}
    assert judged.out(HOSTED) == 0


@pytest.mark.parametrize(
    ("status", "circuit"),
    [
        (401, Circuit(HOSTED)),
        (402, Circuit(HOSTED)),
        (403, Circuit(HOSTED)),
        (404, Circuit(HOSTED, "m")),
        (429, Circuit(HOSTED, "m")),
    ],
)
def test_what_a_provider_refuses_in_a_row_opens_its_breaker(status, circuit):
    judged = Judged()
    judged.fail(HOSTED, status)
    assert judged.open() == set()
    judged.fail(HOSTED, status)
    assert judged.open() == {circuit}


@pytest.mark.parametrize("status", [401, 402, 403, 404, 429])
def test_what_own_servers_refuse_may_be_the_clients_fault_and_opens_nothing(status):
    judged = Judged()
    judged.fail(OWN, status, times=9)
    assert (judged.open(), judged.out(OWN)) == (set(), 0)


def test_a_server_whose_row_another_has_now_is_not_blamed():
    judged = Judged()
    target = Target(judged.table.row_of("10.0.0.9:80"), "10.0.0.1:80", OWN, "m")
    judged.judge.failed(target, FailedAttempt("d-1", "10.0.0.1:80", 1, 503), NOW)
    judged.judge.failed(target, FailedAttempt("d-1", "10.0.0.1:80", 1, 503), NOW)
    assert judged.out(HOSTED) == 0
