"""What a tenant's status says of its budgets, from figures that pickers report."""

from datetime import UTC, datetime

from pilotage_api.governance_snapshot import BudgetLimitSnapshot, GovernanceSnapshot, Per
from pilotage_api.money import nano_dollars
from pilotage_api.tenant_snapshot import TenantSnapshot
from pilotage_api.tenant_spending import MOST_BUDGETS, PartyFigures, budget_statuses, spending_columns

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
TODAY = int(datetime(2026, 11, 29, tzinfo=UTC).timestamp())
IN_BERLIN = int(datetime(2026, 10, 31, 23, tzinfo=UTC).timestamp())


def budget(per=Per.TENANT, period="day", zone="UTC", usd="10", hard=False):
    return BudgetLimitSnapshot(per=per, period=period, time_zone=zone, usd=usd, hard=hard)


def tenant(*budgets):
    return TenantSnapshot(name="acme", key="default/acme", governance=GovernanceSnapshot(budgets=budgets))


def figures(spent, held="0", *, per="tenant", period="day", zone="UTC", party="", start=TODAY):
    return PartyFigures(per, period, zone, party, start, nano_dollars(spent), nano_dollars(held))


def shown(of, *known, now=NOON):
    return budget_statuses(of, known, now.timestamp())[0]


def test_what_is_neither_spent_nor_held_remains():
    [one] = shown(tenant(budget(hard=True)), figures("1.25", "0.5"))
    assert (one.mode, one.usd, one.spent, one.held, one.remaining) == ("hard", "10", "1.25", "0.5", "8.25")
    assert one.party is None


def test_nothing_remains_of_a_soft_budget_that_was_passed():
    [one] = shown(tenant(budget()), figures("12.5"))
    assert (one.spent, one.remaining) == ("12.5", "0")


def test_a_month_resets_when_it_ends_where_its_users_are():
    of = tenant(budget(period="month", zone="Europe/Berlin"))
    [one] = shown(of, figures("3", period="month", zone="Europe/Berlin", start=IN_BERLIN))
    assert one.spent == "3"
    assert spending_columns([one], 0)["resets"] == "2026-11-30T23:00:00Z"


def test_a_budget_of_the_tenant_is_shown_before_anything_was_spent_and_those_of_teams_are_not():
    [one] = shown(tenant(budget(), budget(Per.TEAM)))
    assert (one.per, one.spent, one.held, one.remaining) == ("tenant", "0", "0", "10")
    assert one.resets == "2026-11-30T00:00:00Z"


def test_figures_of_a_period_that_is_over_count_no_more():
    [one] = shown(tenant(budget()), figures("9"), now=NOON.replace(day=30))
    assert (one.spent, one.resets) == ("0", "2026-12-01T00:00:00Z")


def test_a_store_whose_clock_is_in_the_next_period_is_believed():
    next_day = TODAY + 86_400
    [one] = shown(tenant(budget()), figures("9"), figures("1", start=next_day))
    assert (one.spent, one.resets) == ("1", "2026-12-01T00:00:00Z")


def test_the_budget_nearest_to_its_bound_comes_first_and_stands_in_the_columns():
    of = tenant(budget(usd="100"), budget(Per.TEAM, usd="5", hard=True))
    found = shown(
        of,
        figures("40"),
        figures("1", per="team", party="search"),
        figures("2", "2.5", per="team", party="support"),
    )
    assert [(one.party, one.spent) for one in found] == [("support", "2"), (None, "40"), ("search", "1")]
    columns = spending_columns(found, 0)
    assert (columns["spent"], columns["held"]) == ("2/5", "2.5")
    assert columns["budgets"][0] == {
        "per": "team",
        "party": "support",
        "period": "day",
        "timeZone": "UTC",
        "mode": "hard",
        "usd": "5",
        "spent": "2",
        "held": "2.5",
        "remaining": "0.5",
        "resets": "2026-11-30T00:00:00Z",
    }


def test_names_of_users_are_not_shown():
    assert shown(tenant(budget(Per.USER)), figures("1", per="user", party="ada@example.com")) == []


def test_of_many_parties_the_first_are_shown_and_the_rest_counted():
    known = [figures(f"0.{number:03d}", per="key", party=f"k{number:03d}") for number in range(100)]
    found, left_out = budget_statuses(tenant(budget(Per.KEY)), known, NOON.timestamp())
    assert (len(found), left_out) == (MOST_BUDGETS, 100 - MOST_BUDGETS)
    assert found[0].party == "k099"
    assert spending_columns(found, left_out)["budgetsLeftOut"] == 68


def test_a_tenant_without_budgets_has_no_such_columns():
    assert spending_columns(*budget_statuses(TenantSnapshot(name="acme", key="default/acme"), [], 0)) == {}
