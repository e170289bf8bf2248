"""What a provider bills and nobody saw: a hard budget books the most that it can be, others an estimate."""

from dataclasses import replace

import pytest
from plain_rates import plain_rates

from pilotage_api.periods import Period
from pilotage_extproc.accounting.books import Books
from pilotage_extproc.accounting.claims import BudgetClaim, Hold
from pilotage_extproc.accounting.memory_store import MemoryStore
from pilotage_extproc.accounting.note import SettlingNote, Spender
from pilotage_extproc.accounting.price import Price
from pilotage_extproc.accounting.used import used
from pilotage_extproc.domain.clock import ManualClock
from pilotage_extproc.domain.failed_attempt import FailedAttempt
from pilotage_extproc.domain.outcome import Outcome, TokenUsage
from pilotage_extproc.domain.providers import provider_address

HOSTED, OTHER, OWN = provider_address("default/hosted"), provider_address("default/other"), "10.0.0.1:80"
NANO = 10**6
DEAR, CHEAP = Price(plain_rates(NANO, NANO, NANO, 2 * NANO)), Price(plain_rates(NANO, 0, NANO, NANO))
MOST = (300, 4000)
ALL = 300 + 2 * 4000
HELD = BudgetClaim("budget|p=a", 10**12, ALL, Period(0, 2**40), hard=True)
NOTE = SettlingNote(
    Hold("x-1", (HELD,), (0,)),
    Spender("acme"),
    ((HOSTED, "hosted", DEAR), (OTHER, "other", CHEAP), (OWN, "own", CHEAP)),
    100,
    MOST,
)
SOFT = NOTE._replace(most=None)


def ended(status: int = 200, at: str | None = HOSTED, **more) -> Outcome:
    return replace(Outcome("x-1", status, at, 1, 1.0, 0.1), **more)


LOST = {
    "a stream that its client cut behind ten pieces": ended(counted_output=10),
    "a stream whose input alone is known": ended(usage=TokenUsage(90), counted_output=10),
    "a client that left before the answer": ended(0),
    "an answer that nothing came of for long": ended(504, response_flags=("stream_idle_timeout",)),
    "a client that left an answer in the making": ended(503, response_flags=("downstream_remote_reset",)),
}


@pytest.mark.parametrize("outcome", LOST.values(), ids=LOST)
def test_what_a_provider_was_at_work_on_is_booked_at_its_most_by_a_hard_budget(outcome):
    found = used(NOTE, outcome)
    assert (found.nano, found.exact) == (ALL, False)
    assert found.usage.output_tokens == (outcome.counted_output or 0), "tokens stay an estimate"
    assert used(SOFT, outcome).nano < 200
    own = replace(outcome, upstream_address=OWN)
    assert used(NOTE, own).nano < 200, "a server of one's own sends no invoice"


def test_the_most_is_of_the_provider_that_was_at_work():
    assert used(NOTE, ended(at=OTHER, counted_output=10)).nano == 300 + 4000


def test_a_whole_answer_without_usage_is_booked_at_its_most_wherever_it_was_made():
    found = used(NOTE, ended(at=OWN))
    assert (found.nano, found.exact) == (300 + 4000, False)
    assert used(SOFT, ended(at=OWN)).nano == 100


def test_a_request_whose_end_was_not_seen_may_still_go_on_and_holds_its_most():
    assert used(NOTE, Outcome.unknown("x-1")).nano == ALL
    assert used(SOFT, Outcome.unknown("x-1")).nano == 100


@pytest.mark.parametrize(
    ("outcome", "nano"),
    [
        (ended(usage=TokenUsage(90, 10)), 110),
        (ended(429), 0),
        (ended(503, response_flags=("upstream_connection_failure",)), 0),
        (ended(0, None), 0),
    ],
)
def test_what_is_known_is_booked_as_it_is(outcome, nano):
    found = used(NOTE, outcome)
    assert (found.nano, found.exact) == (nano, True)


def test_an_exact_usage_takes_the_place_of_the_most():
    store = MemoryStore(ManualClock())
    books = Books(store, lease_seconds=100.0)
    books.admit(NOTE)
    books.settle(NOTE, Outcome.unknown("x-1"))
    assert store.figures() == (0, ALL, 0)
    books.settle(NOTE, ended(usage=TokenUsage(90, 10)))
    assert store.figures() == (110, 0, 0)


def test_an_attempt_in_vain_may_have_made_all_that_it_was_asked_for():
    store = MemoryStore(ManualClock())
    books = Books(store, lease_seconds=100.0)
    books.admit(NOTE)
    books.admitted(NOTE)
    books.attempt_failed(FailedAttempt("x-1", OTHER, 1, 0, ("upstream_request_timeout",)))
    assert store.figures()[1] == 300 + 4000


def test_the_most_travels_with_the_note():
    assert SettlingNote.decoded(NOTE.encoded()) == NOTE
    assert SettlingNote.decoded(SOFT.encoded()) == SOFT
