"""Streams that Envoy ended at what a hard budget held are counted, once each."""

import pytest
from plain_rates import plain_rates

from pilotage_api.periods import Period
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.accounting.claims import BudgetClaim, Hold
from pilotage_extproc.accounting.note import SettlingNote, Spender
from pilotage_extproc.accounting.price import Price
from pilotage_extproc.domain.clock import ManualClock
from pilotage_extproc.domain.outcome import Outcome, TokenUsage
from pilotage_extproc.server.accounting import new_accounting

SERVER = "10.0.0.1:80"
CLAIM = BudgetClaim("budget|p=a", 10**12, 5_000_000, Period(0, 2**40), hard=True)
PLACES = ((SERVER, "m", Price(plain_rates(10**9, 10**9, 10**9, 10**9))),)


@pytest.mark.parametrize(("ended_at", "counted"), [(21, 1.0), (None, 0.0)])
def test_one_that_was_ended_counts_once_however_often_its_entry_comes(ended_at, counted):
    accounting = new_accounting(GatewaySettings(), ManualClock())
    note = SettlingNote(Hold("x-1", (CLAIM,), (0,)), Spender("acme"), PLACES, 100)
    accounting.books.admit(note)
    accounting.books.admitted(note)
    usage = TokenUsage(90, 60)
    outcome = Outcome("x-1", 200, SERVER, 1, 1.0, 0.1, usage=usage, ended_at=ended_at)
    for _ in range(3):
        accounting.books.settle(note, outcome)
    assert accounting.spending.ended.value() == counted
    # what the server made is paid for all the same
    assert accounting.memory.figures() == (150_000, 0, 0)
