"""Accounts of tenants' budgets are found again by their names."""

import pytest

from pilotage_api.governance_snapshot import BudgetLimitSnapshot, GovernanceSnapshot, Per
from pilotage_api.tenant_snapshot import TenantSnapshot
from pilotage_extproc.accounting.claims import BudgetClaim
from pilotage_extproc.accounting.rules import Expected, SpendingRules
from pilotage_extproc.accounting.tenant_budgets import TenantBudgets
from pilotage_extproc.domain.identity import Identity

NOW = 1_795_953_600.0
"""2026-11-29 12:00 UTC"""
TODAY = 1_795_910_400
ASKS = Identity("acme", "search", "k1", "ada")


def budget(per: Per) -> BudgetLimitSnapshot:
    return BudgetLimitSnapshot(per=per, period="day", time_zone="UTC", usd="10", hard=True)


def tenant(*budgets: BudgetLimitSnapshot, **more) -> TenantSnapshot:
    governance = GovernanceSnapshot(budgets=budgets)
    return TenantSnapshot(name="acme", key="default/acme", governance=governance, **more)


def claimed(of: TenantSnapshot, asks: Identity = ASKS, model: str = "meta-llama/Llama-3.1-8B") -> BudgetClaim:
    """What a request of theirs counts in."""
    rules = SpendingRules.of(f"tenant {of.name}", of.governance)
    [claim] = rules.claims(asks, [model], Expected(0, 0, 0), NOW)
    return claim


@pytest.mark.parametrize(
    ("per", "party"),
    [
        (Per.TENANT, ""),
        (Per.TEAM, "search"),
        (Per.KEY, "k1"),
        (Per.MODEL, "meta-llama/Llama-3.1-8B"),
    ],
)
def test_what_a_request_counts_in_is_told_by_party(per, party):
    of = tenant(budget(per))
    claim = claimed(of)
    one = (claim.account, claim.period.start)
    budgets = TenantBudgets([of])
    assert budgets.is_current(one, NOW)
    name, figures = budgets.figures(one, 5, 3)
    assert name == "acme"
    assert figures == (per.value, "day", "UTC", party, TODAY, 5, 3)


def test_accounts_of_the_tenant_and_of_its_teams_are_known_before_anything_was_spent():
    of = tenant(budget(Per.TENANT), teams=("search", "a/b"))
    assert list(TenantBudgets([of]).named(NOW)) == [(claimed(of).account, TODAY)]
    by_team = tenant(budget(Per.TEAM), teams=("search", "a/b"))
    named = list(TenantBudgets([by_team]).named(NOW))
    assert named == [(claimed(by_team, Identity("acme", team)).account, TODAY) for team in ("search", "a/b")]
    assert TenantBudgets([by_team]).figures(named[1], 1, 0)[1].party == "a/b"


def test_a_long_party_is_told_by_its_digest():
    of = tenant(budget(Per.KEY))
    claim = claimed(of, Identity("acme", key="k" * 200))
    [figures] = [TenantBudgets([of]).figures((claim.account, TODAY), 1, 0)[1]]
    assert figures.party == claim.account.partition("=")[2]
    assert len(figures.party) == 64


def test_users_other_resources_and_periods_that_are_over_are_left_out():
    of = tenant(budget(Per.TENANT), budget(Per.USER))
    budgets = TenantBudgets([of])
    assert len(budgets) == 1
    mine = claimed(tenant(budget(Per.TENANT)))
    assert budgets.is_current((mine.account, TODAY), NOW)
    assert not budgets.is_current((mine.account, TODAY - 86_400), NOW)
    assert not budgets.is_current((claimed(tenant(budget(Per.USER))).account, TODAY), NOW)
    assert not budgets.is_current(("budget|policy default/auto|tenant|day|UTC=acme", TODAY), NOW)
