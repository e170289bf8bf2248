"""Which accounts are those of tenants' budgets, and whom they count."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias

from pilotage_api.governance_snapshot import BudgetLimitSnapshot, Per
from pilotage_api.periods import Calendar, PeriodLength
from pilotage_api.tenant_snapshot import TenantSnapshot
from pilotage_api.tenant_spending import HIDDEN, PartyFigures
from pilotage_extproc.accounting.accounts import account, budget_name, party, tenant_scope
from pilotage_extproc.domain.identity import Identity

AccountPeriod: TypeAlias = tuple[str, int]
"""An account, and the begin of its period."""


class _Budget(NamedTuple):
    tenant: TenantSnapshot
    budget: BudgetLimitSnapshot
    calendar: Calendar


class TenantBudgets:
    """Finds whose budget an account is; those of users are left out."""

    def __init__(self, tenants: Iterable[TenantSnapshot]) -> None:
        self._by_name: dict[str, _Budget] = {}
        calendars: dict[tuple[str, str], Calendar] = {}
        for tenant in tenants:
            for budget in () if tenant.governance is None else tenant.governance.budgets:
                if budget.per not in HIDDEN:
                    name = budget_name(tenant_scope(tenant.name), budget)
                    kind = (budget.period, budget.time_zone)
                    calendar = calendars.get(kind)
                    if calendar is None:
                        calendar = calendars[kind] = Calendar(PeriodLength(budget.period), budget.time_zone)
                    self._by_name[name] = _Budget(tenant, budget, calendar)

    def __len__(self) -> int:
        return len(self._by_name)

    def named(self, now: float) -> Iterator[AccountPeriod]:
        """Accounts that are known before anything was spent: of tenants, and of the teams that they name."""
        for name, (tenant, budget, calendar) in self._by_name.items():
            start = calendar.at(now).start
            if budget.per is Per.TENANT:
                yield account(name, party(budget.per, Identity(tenant=tenant.name), "")), start
            elif budget.per is Per.TEAM:
                for team in tenant.teams:
                    asks = Identity(tenant=tenant.name, team=team)
                    yield account(name, party(budget.per, asks, "")), start

    def is_current(self, one: AccountPeriod, now: float) -> bool:
        """Whether it is a tenant's, and its period is not over."""
        name, _, _ = one[0].partition("=")
        found = self._by_name.get(name)
        return found is not None and one[1] >= found.calendar.at(now).start

    def figures(self, one: AccountPeriod, spent: int, held: int) -> tuple[str, PartyFigures]:
        """The tenant's name, and what is to be said of an account of `named` or one that `is_current`."""
        name, _, whose = one[0].partition("=")
        tenant, budget, _ = self._by_name[name]
        if budget.per is Per.TENANT:
            whose = ""
        elif budget.per is not Per.MODEL:
            whose = whose.partition("/")[2] if "/" in whose else whose  # a long one is a digest
        place = (budget.per.value, budget.period, budget.time_zone, whose, one[1])
        return tenant.name, PartyFigures(*place, spent, held)
