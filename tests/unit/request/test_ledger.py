"""Open requests: settled once, given up by age, number or engine, and amended when their end comes late."""

from pilotage_extproc.domain.decision import Decision
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.ledger import Ledger
from pilotage_extproc.request.stage import Step


class Heard(Step):
    settles = True

    def __init__(self) -> None:
        self.ends: list[tuple[str, str]] = []

    def apply(self, exchange):
        return None

    def finish(self, exchange, outcome):
        self.ends.append((exchange.decision.id, outcome.result))

    def amend(self, exchange, outcome):
        self.ends.append((exchange.decision.id, f"late {outcome.result}"))


def opened(ledger: Ledger, heard: Heard, decision_id: str, now: float = 10.0) -> Exchange:
    exchange = Exchange(RequestHead("POST", "/", {}))
    exchange.begin(heard)
    exchange.decided(None, Decision(decision_id, (), "m", None, None, "v", now))
    ledger.open(exchange)
    return exchange


def ok(decision_id: str) -> Outcome:
    return Outcome(decision_id, 200, "10.0.0.1:80", 1, 1.0, 0.1)


def test_a_request_is_settled_once():
    ledger, heard = Ledger(ttl_seconds=60), Heard()
    exchange = opened(ledger, heard, "d-1")
    assert ledger.settle(ok("d-1")) == (exchange, False)
    assert ledger.settle(ok("d-1")) is None
    assert ledger.settle(ok("never")) is None
    assert heard.ends == [("d-1", "ok")]
    assert len(ledger) == 0


def test_time_gives_up_what_is_too_old():
    ledger, heard = Ledger(ttl_seconds=60), Heard()
    opened(ledger, heard, "old", 10.0)
    opened(ledger, heard, "new", 50.0)
    ledger.expire(71.0)
    assert heard.ends == [("old", "unknown")]
    assert (len(ledger), ledger.expired) == (1, 1)


def test_an_outcome_that_comes_after_all_amends_and_counts_once():
    ledger, heard = Ledger(ttl_seconds=60), Heard()
    exchange = opened(ledger, heard, "stream of an hour")
    ledger.give_up("stream of an hour")
    ledger.give_up("stream of an hour")
    assert ledger.settle(ok("stream of an hour")) == (exchange, True)
    assert ledger.settle(ok("stream of an hour")) is None
    assert heard.ends == [("stream of an hour", "unknown"), ("stream of an hour", "late ok")]


def test_past_its_bound_the_oldest_is_given_up():
    ledger, heard = Ledger(ttl_seconds=60, most_open=2), Heard()
    for number in range(4):
        opened(ledger, heard, f"d-{number}")
    assert len(ledger) == 2
    assert heard.ends == [("d-0", "unknown"), ("d-1", "unknown")]


def test_a_request_that_nobody_will_settle_is_dropped():
    ledger, heard = Ledger(ttl_seconds=60), Heard()
    exchange = opened(ledger, heard, "d-1")
    ledger.drop(exchange)
    assert ledger.settle(ok("d-1")) is None
    assert heard.ends == []
