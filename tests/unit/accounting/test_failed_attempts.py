"""What providers may charge for attempts that they took and did not answer."""

from dataclasses import replace

import pytest
from plain_rates import plain_rates

from pilotage_api.periods import Period
from pilotage_extproc.accounting.books import Books
from pilotage_extproc.accounting.claims import (
    Admission,
    Amount,
    BudgetClaim,
    ConcurrentClaim,
    Hold,
    WindowClaim,
)
from pilotage_extproc.accounting.memory_store import MemoryStore
from pilotage_extproc.accounting.note import SettlingNote, Spender
from pilotage_extproc.accounting.price import Price
from pilotage_extproc.domain.clock import ManualClock
from pilotage_extproc.domain.failed_attempt import UNREACHABLE, FailedAttempt
from pilotage_extproc.domain.outcome import Outcome, TokenUsage
from pilotage_extproc.domain.providers import provider_address

HOSTED, OWN = provider_address("default/hosted"), "10.0.0.1:80"
DEAR, CHEAP = Price(plain_rates(10**9, 10**9, 10**9, 10**9)), Price(plain_rates(10**6, 10**6, 10**6, 10**6))
LATE = FailedAttempt("x-1", HOSTED, 1, 0, ("upstream_request_timeout",))
CLAIMS = (
    BudgetClaim("budget|p=a", 10**12, 5_000_000, Period(0, 2**40), hard=True),
    WindowClaim("limit|p=a", Amount.INPUT_TOKENS, 10**6, 100, 60_000),
    WindowClaim("limit|p=a", Amount.REQUESTS, 10**6, 1, 60_000),
    ConcurrentClaim("limit|p=a", 10),
)


class Gateway:
    def __init__(self):
        self.store, self.counted = MemoryStore(ManualClock()), []
        self.books = Books(self.store, lease_seconds=100.0, count=self.counted.append)
        places = ((HOSTED, "hosted", DEAR), (OWN, "own", CHEAP))
        self.note = SettlingNote(Hold("x-1", CLAIMS, ()), Spender("acme"), places, 100)
        granted = self.books.admit(self.note)
        self.note = self.note._replace(hold=Hold("x-1", CLAIMS, granted.slots))
        self.books.admitted(self.note)

    def answered(self):
        self.books.settle(self.note, Outcome("x-1", 200, OWN, 2, 1.0, 0.1, usage=TokenUsage(90, 10)))


@pytest.mark.parametrize("first", [True, False])
def test_an_attempt_that_a_provider_took_in_vain_is_its_input_whenever_its_entry_comes(first):
    gateway = Gateway()
    if first:
        gateway.books.attempt_failed(LATE)
    gateway.answered()
    for _ in range(2):
        gateway.books.attempt_failed(LATE)
    assert gateway.store.figures() == (100, 100_000, 0)
    windows = tuple(claim._replace(held=1) for claim in CLAIMS[1:3])
    used = gateway.store.admit(Admission("x-2", windows, 10.0)).used
    assert used == (190 + 1, 1 + 1), "tokens of both count, and one request"
    assert gateway.counted.count("failed_attempt") == 1


@pytest.mark.parametrize(
    "attempt",
    [
        replace(LATE, http_status=500),
        replace(LATE, flags=(UNREACHABLE,)),
        replace(LATE, not_asked=True),
        replace(LATE, address=OWN),
        replace(LATE, decision_id="x-9"),
    ],
)
def test_errors_and_attempts_that_got_nothing_cost_nothing(attempt):
    gateway = Gateway()
    gateway.books.attempt_failed(attempt)
    gateway.answered()
    assert gateway.store.figures() == (100, 0, 0)
