"""Requests of processes that are gone, settled by another: also where the store is away meanwhile."""

import pytest
from plain_rates import plain_rates

from pilotage_api.periods import Period
from pilotage_extproc.accounting.books import Books
from pilotage_extproc.accounting.claims import BudgetClaim, Hold
from pilotage_extproc.accounting.note import SettlingNote, Spender
from pilotage_extproc.accounting.price import Price
from pilotage_extproc.accounting.store import StoreAway
from pilotage_extproc.domain.outcome import Outcome, TokenUsage

CLAIM = BudgetClaim("budget|p=a", 10**9, 500, Period(0, 2**40), hard=True)
NOTE = SettlingNote(
    Hold("gone-1", (CLAIM,), (0,)),
    Spender("acme"),
    (("10.0.0.1:80", "m", Price(plain_rates(10**6, 10**6, 10**6, 10**6))),),
    100,
)
ENDED = Outcome("gone-1", 200, "10.0.0.1:80", 1, 1.0, 0.1, usage=TokenUsage(90, 10))


class Store:
    clock_offset_seconds = 0.0

    def __init__(self, away: int):
        self.away, self.settled = away, []

    async def find(self, hold_id):
        self.away -= 1
        if self.away >= 0:
            raise StoreAway("not yet")
        return NOTE.encoded()

    def settle(self, settlement, told):
        self.settled.append(settlement.amounts)
        told(True)


@pytest.mark.parametrize("away", [0, 1, 5])
async def test_an_entry_waits_for_a_store_that_is_away(away):
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    store = Store(away)
    await Books(store, lease_seconds=10.0, sleep=sleep).adopt(ENDED)
    assert store.settled == [(100,)]
    assert slept == [0.5, 1.0, 2.0, 4.0, 8.0][:away]


async def test_it_does_not_wait_for_ever():
    async def sleep(_seconds):
        pass

    store = Store(1000)
    await Books(store, lease_seconds=10.0, sleep=sleep).adopt(ENDED)
    assert store.settled == []
