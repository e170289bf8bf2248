"""The books of one process: held, then settled or expired, each request once, whatever comes twice."""

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from pilotage_api.periods import Period
from pilotage_extproc.accounting.claims import (
    Admission,
    BudgetClaim,
    ConcurrentClaim,
    Granted,
    Hold,
    Refused,
    Settlement,
)
from pilotage_extproc.accounting.memory_store import REMEMBERED_SECONDS, MemoryStore
from pilotage_extproc.domain.clock import ManualClock

TODAY = Period(0, 86_400)
BOUND = 1000
LEASE = 100.0


def money(held: int, *, hard: bool = True, period: Period = TODAY, bound: int = BOUND) -> BudgetClaim:
    return BudgetClaim("budget|x=all", bound, held, period, hard)


class Books(RuleBasedStateMachine):
    """A store against a model that keeps one state for each request."""

    open_holds = Bundle("open_holds")
    ended = Bundle("ended")

    def __init__(self):
        super().__init__()
        self.clock = ManualClock()
        self.store = MemoryStore(self.clock)
        self.number = 0
        self.held: dict[str, tuple[int, float]] = {}
        self.expired: set[str] = set()
        self.estimated: dict[str, int] = {}
        self.settled: dict[str, int] = {}

    @rule(target=open_holds, amount=st.integers(0, 600))
    def a_request_comes(self, amount):
        self.number += 1
        hold = Hold(f"p-{self.number}", (money(amount), ConcurrentClaim("limit|x=all", 5)), (0, 0))
        self._pass()
        verdict = self.store.admit(Admission(hold.id, hold.claims, LEASE))
        fits = len(self.held) < 5 and self._taken() + amount <= BOUND
        assert isinstance(verdict, Granted) == fits
        if fits:
            self.held[hold.id] = (amount, self.clock.now + LEASE)
        return hold

    @rule(target=ended, hold=consumes(open_holds), share=st.floats(0, 1), exact=st.booleans())
    def it_ends(self, hold, share, exact):
        self._settle(hold, int(hold.claims[0].held * share), exact)
        return hold

    @rule(hold=ended, amount=st.integers(0, 500), exact=st.booleans())
    def its_end_is_told_once_more(self, hold, amount, exact):
        self._settle(hold, amount, exact)

    @rule(seconds=st.floats(0, 60))
    def time_passes(self, seconds):
        self.clock.advance(seconds)
        self._pass()
        self.store.expire(self.clock.now)

    def _settle(self, hold, amount, exact):
        self._pass()
        self.store.expire(self.clock.now)
        self.store.settle(Settlement(hold, (amount, 1), exact))
        known = hold.id in self.held or hold.id in self.expired
        if known or (exact and hold.id in self.estimated):
            self.held.pop(hold.id, None)
            self.expired.discard(hold.id)
            self.estimated.pop(hold.id, None)
            (self.settled if exact else self.estimated)[hold.id] = amount

    def _pass(self):
        for identifier, (_, until) in list(self.held.items()):
            if until <= self.clock.now:
                del self.held[identifier]
                self.expired.add(identifier)

    def _taken(self):
        held = sum(amount for amount, _ in self.held.values())
        return held + sum(self.estimated.values()) + sum(self.settled.values())

    @invariant()
    def the_books_agree(self):
        self._pass()
        self.store.expire(self.clock.now)
        assert self.store.figures() == (
            sum(self.settled.values()),
            sum(self.estimated.values()),
            sum(amount for amount, _ in self.held.values()),
        )
        assert len(self.store) == len(self.held)


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def admitted(store: MemoryStore, identifier: str, *claims) -> Hold:
    verdict = store.admit(Admission(identifier, claims, LEASE, b"note"))
    assert isinstance(verdict, Granted)
    return Hold(identifier, claims, verdict.slots)


def test_ten_thousand_requests_at_once_never_overdraw_a_hard_budget():
    clock = ManualClock()
    store = MemoryStore(clock)
    granted = [
        hold
        for number in range(10_000)
        if isinstance(store.admit(Admission(hold := f"p-{number}", (money(7),), LEASE)), Granted)
    ]
    assert len(granted) == BOUND // 7
    for identifier in granted:
        store.settle(Settlement(Hold(identifier, (money(7),), (0,)), (7,), exact=True))
    assert store.figures() == (BOUND // 7 * 7, 0, 0)


def test_a_soft_budget_refuses_nobody_and_shows_what_was_spent():
    store = MemoryStore(ManualClock())
    for number in range(3):
        hold = admitted(store, f"p-{number}", money(0, hard=False))
        store.settle(Settlement(hold, (900,), exact=True))
    assert store.spent(money(0, hard=False)) == 2700


def test_a_settlement_counts_in_the_period_it_was_admitted_in():
    store = MemoryStore(ManualClock())
    tomorrow = Period(86_400, 172_800)
    hold = admitted(store, "p-1", money(600))
    assert isinstance(store.admit(Admission("p-2", (money(900, period=tomorrow),), LEASE)), Granted)
    store.settle(Settlement(hold, (500,), exact=True))
    assert (store.spent(money(0)), store.spent(money(0, period=tomorrow))) == (500, 0)


def test_all_claims_are_granted_or_none_is():
    store = MemoryStore(ManualClock())
    admitted(store, "p-1", money(900))
    refused = store.admit(Admission("p-2", (ConcurrentClaim("limit|x=all", 1), money(200)), LEASE))
    assert isinstance(refused, Refused)
    assert refused.claim == money(200)
    admitted(store, "p-3", ConcurrentClaim("limit|x=all", 1))


def test_an_expired_hold_is_given_back_and_its_late_settlement_counts_once():
    clock = ManualClock()
    store = MemoryStore(clock)
    hold = admitted(store, "p-1", money(800))
    clock.advance(LEASE)
    store.expire(clock.now)
    assert (store.figures(), store.expired, store.find("p-1")) == ((0, 0, 0), 1, b"note")
    for _ in range(2):
        store.settle(Settlement(hold, (300,), exact=True))
    assert store.figures() == (300, 0, 0)


def test_an_id_is_forgotten_after_a_day():
    clock = ManualClock()
    store = MemoryStore(clock)
    hold = admitted(store, "p-1", money(800))
    store.settle(Settlement(hold, (300,), exact=False))
    clock.advance(REMEMBERED_SECONDS + 1)
    store.expire(clock.now)
    store.settle(Settlement(hold, (500,), exact=True))
    assert store.figures() == (0, 300, 0)


def test_what_was_never_held_by_itself_is_booked_once_and_corrected_once():
    store = MemoryStore(ManualClock())
    told = []
    attempt = Hold("x-1.1", (money(0),), (0,))
    for amount, exact in ((70, False), (70, False), (60, True), (60, True)):
        store.settle(Settlement(attempt, (amount,), exact, unheld=True), told.append)
    assert told == [True, False, True, False]
    assert store.figures() == (60, 0, 0)
