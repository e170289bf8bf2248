"""A server that says more tokens than a request can have used spends no more than it can have."""

from dataclasses import replace

import pytest
from plain_rates import plain_rates

from pilotage_api.periods import Period
from pilotage_extproc.accounting.books import Books
from pilotage_extproc.accounting.claims import BudgetClaim, Hold
from pilotage_extproc.accounting.memory_store import MemoryStore
from pilotage_extproc.accounting.note import SettlingNote, Spender
from pilotage_extproc.accounting.price import Price
from pilotage_extproc.accounting.used import MOST_TOKENS, used
from pilotage_extproc.domain.clock import ManualClock
from pilotage_extproc.domain.outcome import Outcome, TokenUsage

PLACE = "10.0.0.1:80"
PRICE = Price(plain_rates(10**6, 0, 10**6, 2 * 10**6))
"""A nano-dollar a token of input, two of output."""
CLAIM = BudgetClaim("budget|p=a", 10**12, 8300, Period(0, 2**40), hard=True)
NOTE = SettlingNote(
    Hold("x-1", (CLAIM,), (0,)), Spender("acme"), ((PLACE, "own", PRICE),), 100, (300, 4000), (8000, 16_000)
)
SOFT = NOTE._replace(most=None, reach=None)
HUGE = 10**11


def ended(*tokens: int | None) -> Outcome:
    return replace(Outcome("x-1", 200, PLACE, 1, 1.0, 0.1), usage=TokenUsage(*tokens))


@pytest.mark.parametrize(
    ("tokens", "booked"),
    [((HUGE, 7), 8000 + 14), ((90, HUGE), 90 + 32_000), ((HUGE, HUGE, HUGE), 0 + 32_000)],
)
def test_a_hard_budget_pays_for_what_the_models_have_room_for(tokens: tuple[int, ...], booked: int) -> None:
    found = used(NOTE, ended(*tokens))
    assert (found.nano, found.exact, found.bounded) == (booked, False, True)


@pytest.mark.parametrize("tokens", [(90, 10), (8000, 16_000), (301, 4001)])
def test_what_they_have_room_for_is_believed(tokens: tuple[int, int]) -> None:
    found = used(NOTE, ended(*tokens))
    assert found.usage == TokenUsage(*tokens)
    assert (found.exact, found.bounded) == (True, False)


@pytest.mark.parametrize("note", [SOFT, NOTE._replace(reach=None)])
def test_without_windows_there_is_a_bound_all_the_same(note: SettlingNote) -> None:
    found = used(note, ended(HUGE, HUGE, 5, None, HUGE))
    assert found.usage == TokenUsage(MOST_TOKENS, MOST_TOKENS, 5, None, MOST_TOKENS)
    assert found.bounded
    assert not used(note, ended(MOST_TOKENS, MOST_TOKENS)).bounded


def test_what_a_hard_budget_holds_is_believed_whatever_windows_say() -> None:
    found = used(NOTE._replace(reach=(10, 10)), ended(300, 4000))
    assert (found.usage.input_tokens, found.exact) == (300, True)


def test_it_is_counted_apart_and_stays_an_estimate() -> None:
    counted: list[str] = []
    store = MemoryStore(ManualClock())
    books = Books(store, lease_seconds=100.0, count=counted.append)
    books.admit(NOTE)
    books.settle(NOTE, ended(HUGE, 7))
    assert store.figures() == (0, 8014, 0)
    assert counted == ["bounded"]


def test_the_reach_travels_with_the_note() -> None:
    assert SettlingNote.decoded(NOTE.encoded()) == NOTE
