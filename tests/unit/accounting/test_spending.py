"""What requests claim, what they have used in the end, and what clients are told who get nothing."""

import logging
from dataclasses import replace
from fractions import Fraction

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_rates import plain_rates

from pilotage_api.governance_snapshot import BudgetLimitSnapshot, GovernanceSnapshot, Per, RateLimitSnapshot
from pilotage_api.periods import Period
from pilotage_extproc.accounting.alerts import Alerts
from pilotage_extproc.accounting.answers import refusal
from pilotage_extproc.accounting.claims import (
    Amount,
    BudgetClaim,
    ConcurrentClaim,
    Hold,
    Refused,
    WindowClaim,
)
from pilotage_extproc.accounting.note import SettlingNote, Spender
from pilotage_extproc.accounting.price import Price
from pilotage_extproc.accounting.rules import Expected, SpendingRules
from pilotage_extproc.accounting.store import Booked
from pilotage_extproc.accounting.used import settlement, used
from pilotage_extproc.domain.identity import ANONYMOUS, Identity
from pilotage_extproc.domain.outcome import Outcome, TokenUsage
from pilotage_extproc.domain.refusals import ErrorShape

RATES = plain_rates(10**9, 10**8, 2 * 10**9, 4 * 10**9)
CLAIMS = (
    WindowClaim("limit|p=a", Amount.TOTAL_TOKENS, 1000, 500, 60_000),
    ConcurrentClaim("limit|p=a", 4),
    BudgetClaim("budget|p=a", 10**9, 700_000, Period(0, 86_400), hard=True),
)
NOTE = SettlingNote(
    Hold("x-1", CLAIMS, (17, 0, 0)),
    Spender("acme", "search", "k1", "", "default/auto", "auto"),
    (("10.0.0.1:80", "small", Price(RATES)), ("10.0.0.2:80", "free", None)),
    120,
)


def ended(status: int = 200, address: str | None = "10.0.0.1:80", **more) -> Outcome:
    return replace(Outcome("x-1", status, address, 1, 1.0, 0.1), **more)


numbers = st.integers(0, 2**50)
names = st.text(max_size=20)


@given(names, numbers, numbers, st.booleans(), st.lists(st.tuples(names, names), max_size=3))
def test_a_settling_note_survives_being_written(name, bound, held, hard, places):
    claims = (
        WindowClaim(name, Amount.INPUT_TOKENS, bound, held, 1000),
        ConcurrentClaim(name, bound),
        BudgetClaim(name, bound, held, Period(3, 9), hard),
    )
    price = Price(RATES, ((5, RATES),))
    priced = tuple((address, model, price if hard else None) for address, model in places)
    note = SettlingNote(Hold(name, claims, (1, 2, 3)), Spender(name, model=name), priced, held)
    assert SettlingNote.decoded(note.encoded()) == note


@given(st.binary(max_size=60))
def test_what_is_no_note_is_a_value_error(data):
    with pytest.raises(ValueError, match="not a settling note"):
        SettlingNote.decoded(data)


def test_a_known_usage_is_settled_exactly_at_the_price_of_who_answered():
    found = used(NOTE, ended(usage=TokenUsage(100, 50, 40)))
    assert (found.exact, found.nano, found.upstream_model) == (True, 60_000 + 4_000 + 200_000, "small")
    assert settlement(NOTE, found).amounts == (150, 1, 264_000)
    assert used(NOTE, ended(address="10.0.0.2:80", usage=TokenUsage(100, 50))).nano == 0


def test_an_unknown_usage_is_the_prompt_as_estimated_and_the_output_as_counted():
    found = used(NOTE, ended(counted_output=30))
    assert (found.exact, found.usage.input_tokens, found.usage.output_tokens) == (False, 120, 30)
    cut = used(NOTE, ended(usage=TokenUsage(118, None), counted_output=30))
    assert (cut.exact, cut.usage.input_tokens, cut.usage.output_tokens) == (False, 118, 30)
    assert not used(NOTE, Outcome.unknown("x-1")).exact


@pytest.mark.parametrize(
    "outcome",
    [
        ended(503),
        ended(400),
        ended(0, None),
        ended(0, None, response_flags=("upstream_connection_failure",)),
    ],
)
def test_a_request_that_nobody_answered_has_used_nothing(outcome):
    found = used(NOTE, outcome)
    assert (found.exact, found.nano) == (True, 0)


def rules(*limits, budgets=()) -> SpendingRules:
    return SpendingRules.of("policy default/auto", GovernanceSnapshot(limits=limits, budgets=budgets))


BUDGET = BudgetLimitSnapshot(per=Per.TEAM, period="day", time_zone="UTC", usd="5", hard=False, instead=0)


def test_each_party_has_an_account_of_its_own_and_tenants_never_share_one():
    limit = RateLimitSnapshot(per=Per.KEY, window_seconds=60, requests=5)
    expected = Expected(10, 20, 0)

    def accounts(identity):
        return {claim.account for claim in rules(limit).claims(identity, ["m"], expected, 0)}

    assert accounts(Identity("a", key="k")) != accounts(Identity("b", key="k"))
    assert accounts(Identity("a/b", key="c")) != accounts(Identity("a", key="b/c"))
    assert accounts(Identity("a/b", key="c")) != accounts(Identity("a%2Fb", key="c"))
    assert accounts(ANONYMOUS) == accounts(ANONYMOUS)
    assert accounts(Identity("a", key="k" * 4000)) != accounts(Identity("a", key="k" * 4001))
    assert all(len(one) < 256 for one in accounts(Identity("a", key="k" * 4000)))


def test_output_left_open_holds_no_more_than_the_limit_there_is():
    limit = RateLimitSnapshot(per=Per.POLICY, window_seconds=60, output_tokens=1000, total_tokens=1500)
    held = [claim.held for claim in rules(limit).claims(ANONYMOUS, ["m"], Expected(400, 100_000, 0), 0)]
    assert held == [1000, 1500]


def test_a_prompt_larger_than_its_limit_is_not_held_as_less():
    limit = RateLimitSnapshot(per=Per.POLICY, window_seconds=60, total_tokens=100)
    [claim] = rules(limit).claims(ANONYMOUS, ["m"], Expected(400, 10, 0), 0)
    assert claim.held == 400


def test_a_spent_soft_budget_names_its_alternative():
    governed = rules(budgets=(BUDGET,))
    assert governed.spent(ANONYMOUS, "m", 0, lambda claim: claim.bound) == 0
    assert governed.spent(ANONYMOUS, "m", 0, lambda claim: claim.bound - 1) is None


@pytest.mark.parametrize(
    ("wait", "retried", "seconds"), [(0.25, None, "1"), (12.0, None, "12"), (61.0, "false", "61")]
)
def test_refusals_say_when_to_come_back_and_when_not_to(wait, retried, seconds):
    told = refusal(Refused(CLAIMS[0], 900, wait))
    headers = told.headers()
    assert told.reason.http_status == 429
    assert headers["retry-after"] == seconds
    assert headers["retry-after-ms"] == str(int(wait * 1000))
    assert headers.get("x-should-retry") == retried
    assert headers["x-ratelimit-limit-tokens"] == "1000"
    assert headers["x-ratelimit-remaining-tokens"] == "100"


def test_a_spent_budget_is_not_worth_a_retry_and_says_so_in_each_shape():
    told = refusal(Refused(CLAIMS[2], 10**9, None))
    assert told.headers() == {"x-should-retry": "false"}
    assert orjson.loads(told.body())["error"]["code"] == "insufficient_quota"
    assert orjson.loads(told.body(ErrorShape.ANTHROPIC))["error"]["type"] == "rate_limit_error"


def test_each_share_of_a_budget_alerts_once_a_period(caplog):
    seen = []
    alerts = Alerts(lambda budget, share: seen.append((budget, share)))
    alerts.watch("budget|p", ("1", "0.8"))
    claim = CLAIMS[2]
    with caplog.at_level(logging.WARNING):
        for share in (Fraction(79, 100), Fraction(80, 100), Fraction(81, 100), Fraction(2), Fraction(3)):
            alerts.see(Booked(claim, int(claim.bound * share)))
    assert seen == [("budget|p", "0.8"), ("budget|p", "1")]
    assert len(caplog.records) == 2
    alerts.see(Booked(claim._replace(period=Period(86_400, 172_800)), claim.bound))
    assert len(seen) == 4
