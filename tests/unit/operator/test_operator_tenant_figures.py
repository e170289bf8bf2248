"""What statuses of Tenants say was spent: from several pickers, at a bounded rate."""

from datetime import UTC, datetime

import pytest
from operator_cases import GATEWAY, desired, planned, stored

from pilotage_api.governance_snapshot import BudgetLimitSnapshot, GovernanceSnapshot, Per
from pilotage_api.money import nano_dollars
from pilotage_api.tenant_snapshot import TenantSnapshot
from pilotage_api.tenant_spending import PartyFigures
from pilotage_kube.clock import ManualTime
from pilotage_kube.figures_report import FiguresReport, TenantFigures
from pilotage_operator.resource_revision import Form
from pilotage_operator.tenant_figures import EVERY_SECONDS, MOST_AT_ONCE, FiguresView, merged

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC).timestamp()
TODAY = int(datetime(2026, 11, 29, tzinfo=UTC).timestamp())


def tenant(name: str = "acme", usd: str = "10", **more) -> TenantSnapshot:
    budget = BudgetLimitSnapshot(per=Per.TENANT, period="day", time_zone="UTC", usd=usd, hard=False)
    governance = GovernanceSnapshot(budgets=(budget,))
    return TenantSnapshot(name=name, key=f"default/{name}", governance=governance, **more)


def form(name: str = "acme") -> Form:
    return Form("Tenant", "default", name, f"uid-{name}", 1, "", "{}")


def figures(spent: str, held: str = "0", name: str = "acme") -> TenantFigures:
    amounts = nano_dollars(spent), nano_dollars(held)
    return TenantFigures(name, PartyFigures("tenant", "day", "UTC", "", TODAY, *amounts))


def said(replica: str, *budgets: TenantFigures, shared: bool = False, at: float = 0.0) -> FiguresReport:
    return FiguresReport(replica, shared, budgets, at=at)


class Rig:
    """A view, and what it is told."""

    def __init__(self, *tenants: TenantSnapshot) -> None:
        self.reports: list[FiguresReport] = []
        self.alive = {"a", "b"}
        self.clock = ManualTime()
        self.now = NOON
        self.tenants = tenants or (tenant(),)
        self.statuses: dict[str, dict] = {}
        self.view = FiguresView(
            lambda: self.reports,
            lambda: frozenset(self.alive),
            gateway=GATEWAY,
            clock=self.clock,
            wall_clock=lambda: self.now,
        )

    def look(self):
        resources = [stored(form(one.name), self.statuses.get(one.name)) for one in self.tenants]
        found, self.again = self.view.look(self.tenants, {one.key: one for one in resources})
        return {key.name: columns for key, columns in found.items()}

    async def later(self, seconds: float = EVERY_SECONDS):
        await self.clock.advance(seconds)
        return self.look()


def one(reports, alive=("a", "b")):
    [found] = merged(reports, frozenset(alive))["acme"]
    return found.spent / 1e9, found.held / 1e9


def test_what_pickers_count_by_themselves_is_added_up():
    assert one([said("a", figures("1", "0.5")), said("b", figures("2", "0.25"))]) == (3, 0.75)


def test_figures_of_a_shared_store_count_once_as_they_were_read_last():
    older = said("a", figures("1", "0.5"), shared=True, at=10)
    newer = said("b", figures("2"), shared=True, at=20)
    assert one([older, newer]) == (2, 0)
    assert one([newer, older]) == (2, 0)


def test_a_picker_that_is_gone_has_no_say():
    assert one([said("a", figures("1")), said("gone", figures("2"))]) == (1, 0)
    assert merged([said("gone", figures("2"))], frozenset({"a"})) is None


async def test_new_figures_are_shown_now_and_then():
    rig = Rig()
    rig.reports = [said("a", figures("1"))]
    assert rig.look()["acme"]["spent"] == "1/10"
    rig.reports = [said("a", figures("2"))]
    assert (await rig.later(1))["acme"]["spent"] == "1/10"
    assert rig.again == pytest.approx(EVERY_SECONDS - 1)
    assert (await rig.later(rig.again))["acme"]["spent"] == "2/10"
    assert rig.again is None


async def test_of_a_thousand_tenants_a_few_at_a_time_follow_those_that_have_waited_longest_first():
    tenants = [tenant(f"t{number:03d}") for number in range(2 * MOST_AT_ONCE + 5)]
    rig = Rig(*tenants)
    rig.reports = [said("a", *(figures("1", name=one.name) for one in tenants))]
    for wanted in (MOST_AT_ONCE, 2 * MOST_AT_ONCE, len(tenants)):
        shown = rig.look()
        assert sum(one.get("spent") == "1/10" for one in shown.values()) == wanted
        await rig.clock.advance(EVERY_SECONDS)
    assert rig.again is None
    # from now on all of them change all the time, and none is left behind
    seen: set[str] = set()
    for turn in (1, 2, 3):
        rig.reports = [said("a", *(figures(f"2.{turn}", name=one.name) for one in tenants))]
        seen |= {name for name, one in (await rig.later()).items() if one["spent"] == f"2.{turn}/10"}
    assert len(seen) == len(tenants)


async def test_while_no_picker_says_anything_what_was_said_last_stays():
    rig = Rig()
    rig.reports = [said("a", figures("1"))]
    rig.look()
    rig.alive = set()
    assert (await rig.later())["acme"]["spent"] == "1/10"


def test_an_operator_that_takes_over_goes_on_with_what_the_status_says():
    rig = Rig()
    rig.statuses["acme"] = {"gateway": GATEWAY, "spent": "4/10", "held": "0", "models": "*"}
    assert rig.look()["acme"] == {"spent": "4/10", "held": "0"}
    rig.statuses["other"] = {"gateway": "elsewhere/gateway", "spent": "4/10"}
    rig.tenants = (*rig.tenants, tenant("other"))
    assert rig.look()["other"] == {}


async def test_an_edited_budget_shows_at_once_and_one_that_is_gone_leaves():
    rig = Rig()
    rig.reports = [said("a", figures("1"))]
    rig.look()
    rig.tenants = (tenant(usd="20"),)
    assert (await rig.later(1))["acme"]["spent"] == "1/20"
    rig.tenants = (TenantSnapshot(name="acme", key="default/acme"),)
    assert (await rig.later(1)) == {}


async def test_a_new_day_begins_with_nothing_spent():
    rig = Rig()
    rig.reports = [said("a", figures("1"))]
    rig.look()
    rig.now += 86_400
    shown = await rig.later()
    assert (shown["acme"]["spent"], shown["acme"]["resets"]) == ("0/10", "2026-12-01T00:00:00Z")


def test_the_status_has_the_figures_and_is_left_alone_where_nothing_changes():
    spec = form()
    wanted = desired(spec)
    spending = {spec.key: {"spent": "1/10", "held": "0", "resets": "2026-11-30T00:00:00Z"}}
    [write] = planned(wanted, [stored(spec)], spending=spending).statuses
    assert write.status["spent"] == "1/10"
    assert planned(wanted, [stored(spec, write.status)], spending=spending).statuses == ()
    [later] = planned(wanted, [stored(spec, write.status)]).statuses
    assert later.patch()["status"]["spent"] is None
