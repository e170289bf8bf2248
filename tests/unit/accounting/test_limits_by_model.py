"""Limits that count each model by itself: whoever answers is who has used the tokens."""

from collections.abc import Sequence
from itertools import count

import pytest

from pilotage_api.governance_snapshot import GovernanceSnapshot, Per, RateLimitSnapshot
from pilotage_extproc.accounting.answers import rate_limits
from pilotage_extproc.accounting.books import Books
from pilotage_extproc.accounting.claims import Admission, Granted, Hold, Refused, WindowClaim
from pilotage_extproc.accounting.memory_store import MemoryStore
from pilotage_extproc.accounting.note import SettlingNote, Spender
from pilotage_extproc.accounting.rules import Expected, SpendingRules
from pilotage_extproc.domain.clock import ManualClock
from pilotage_extproc.domain.failed_attempt import FailedAttempt
from pilotage_extproc.domain.identity import ANONYMOUS
from pilotage_extproc.domain.outcome import Outcome, TokenUsage
from pilotage_extproc.domain.providers import provider_address

LIMIT = RateLimitSnapshot(per=Per.MODEL, window_seconds=60.0, requests=10, input_tokens=1000)
RULES = SpendingRules.of("policy default/auto", GovernanceSnapshot(limits=(LIMIT,)))
PLACES = {"small": "10.0.0.1:80", "strong": "10.0.0.2:80", "hosted": provider_address("default/hosted")}


class Gateway:
    """What is counted of requests whose input is estimated as 100 tokens."""

    def __init__(self) -> None:
        self.store = MemoryStore(ManualClock())
        self.books = Books(self.store, lease_seconds=100.0)
        self._numbers = count()

    def admit(self, *models: str, expected: int = 100) -> SettlingNote | Refused:
        claims = tuple(RULES.claims(ANONYMOUS, models, Expected(expected, 0, 0), 0.0))
        places = tuple((PLACES[model], model, None) for model in models)
        hold = Hold(f"x-{next(self._numbers)}", claims, ())
        verdict = self.books.admit(SettlingNote(hold, Spender(), places, expected))
        if not isinstance(verdict, Granted):
            assert isinstance(verdict, Refused)
            return verdict
        note = SettlingNote(hold._replace(slots=verdict.slots), Spender(), places, expected)
        self.books.admitted(note)
        return note

    def settled(self, models: Sequence[str], by: str, tokens: int) -> None:
        note = self.admit(*models)
        assert isinstance(note, SettlingNote)
        usage = TokenUsage(tokens, 10)
        self.books.settle(note, Outcome(note.hold.id, 200, PLACES[by], 2, 1.0, 0.1, usage=usage))

    def counted(self, model: str) -> tuple[int, ...]:
        """Requests and input tokens in the windows of a model."""
        claims = RULES.claims(ANONYMOUS, [model], Expected(0, 0, 0), 0.0)
        looks = tuple(claim._replace(held=0) for claim in claims if isinstance(claim, WindowClaim))
        verdict = self.store.admit(Admission(f"look-{next(self._numbers)}", looks, 10.0))
        assert isinstance(verdict, Granted)
        return verdict.used


def test_tokens_are_held_at_the_first_model_and_count_at_the_one_that_answered():
    gateway = Gateway()
    note = gateway.admit("small", "strong")
    assert (gateway.counted("small"), gateway.counted("strong")) == ((1, 100), (0, 0))
    assert isinstance(note, SettlingNote)
    usage = TokenUsage(90, 10)
    gateway.books.settle(note, Outcome(note.hold.id, 200, PLACES["strong"], 2, 1.0, 0.1, usage=usage))
    assert (gateway.counted("small"), gateway.counted("strong")) == ((1, 0), (1, 90))


def test_a_request_that_its_first_model_answers_counts_there_alone():
    gateway = Gateway()
    gateway.settled(["small", "strong"], by="small", tokens=90)
    assert (gateway.counted("small"), gateway.counted("strong")) == ((1, 90), (0, 0))


def test_two_servers_of_one_model_are_one_place():
    gateway = Gateway()
    gateway.settled(["small", "small"], by="small", tokens=90)
    assert gateway.counted("small") == (1, 90)


def test_what_fallbacks_have_used_bounds_whoever_asks_for_that_model_first():
    gateway = Gateway()
    gateway.settled(["small", "strong"], by="strong", tokens=950)
    assert isinstance(gateway.admit("strong"), Refused)
    assert isinstance(gateway.admit("small"), SettlingNote)


def test_a_fallback_is_refused_for_no_limit_of_its_own():
    gateway = Gateway()
    gateway.settled(["strong"], by="strong", tokens=5000)
    assert isinstance(gateway.admit("small", "strong"), SettlingNote)


def test_what_an_attempt_in_vain_may_have_cost_counts_at_its_own_model():
    gateway = Gateway()
    note = gateway.admit("hosted", "small")
    assert isinstance(note, SettlingNote)
    gateway.books.attempt_failed(
        FailedAttempt(note.hold.id, PLACES["hosted"], 1, 0, ("upstream_request_timeout",))
    )
    usage = TokenUsage(90, 10)
    gateway.books.settle(note, Outcome(note.hold.id, 200, PLACES["small"], 2, 1.0, 0.1, usage=usage))
    assert (gateway.counted("hosted"), gateway.counted("small")) == ((1, 100), (1, 90))


@pytest.mark.parametrize("later", [[], ["strong"]])
def test_clients_are_told_what_is_left_at_the_first_model(later):
    gateway = Gateway()
    gateway.settled(["strong"], by="strong", tokens=900)
    note = gateway.admit("small", *later)
    assert isinstance(note, SettlingNote)
    told = rate_limits(note.hold.claims, [9 if claim.held else 900 for claim in note.hold.claims])
    assert told["x-ratelimit-limit-tokens"] == "1000"
    assert told["x-ratelimit-remaining-tokens"] == "991"


def test_the_models_of_claims_travel_with_the_note():
    note = Gateway().admit("small", "strong")
    assert isinstance(note, SettlingNote)
    assert {claim.model for claim in note.hold.claims if isinstance(claim, WindowClaim)} == {
        "small",
        "strong",
    }
    assert SettlingNote.decoded(note.encoded()) == note
