"""What statuses of Tenants say of their budgets, at a bounded rate."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pilotage_api.findings import ResourceKey
from pilotage_api.governance_snapshot import BudgetLimitSnapshot
from pilotage_api.tenant_snapshot import TenantSnapshot
from pilotage_api.tenant_spending import PartyFigures, budget_statuses, spending_columns, utc_text
from pilotage_kube.clock import Time
from pilotage_kube.figures_report import FiguresReport
from pilotage_operator.resource_revision import Stored

EVERY_SECONDS: Final = 15.0
"""How often figures in statuses may change: they do with every request."""
MOST_AT_ONCE: Final = 75
"""Statuses that follow new figures each time, at most: five a second, however many tenants there are."""

Columns = Mapping[str, Any]
_FIELDS: Final = ("spent", "held", "resets", "budgets", "budgetsLeftOut")


@dataclass(slots=True, frozen=True)
class _Shown:
    budgets: tuple[BudgetLimitSnapshot, ...]
    """Those of the resource, as it was then."""
    columns: Columns
    at: float
    """When, by the clock."""
    figures: tuple[PartyFigures, ...] | None = None
    """What they were made of; None where an operator before this one made them."""
    resets: str = ""
    """When the first of its periods ends, UTC; empty where none is shown."""

    def is_old(self, figures: tuple[PartyFigures, ...], now: str) -> bool:
        """Whether these figures, or the time, would make something else of it."""
        return figures != self.figures or (self.resets != "" and now >= self.resets)


class FiguresView:
    """Turns reports of pickers into fields of statuses; `look` at every plan."""

    def __init__(
        self,
        reports: Callable[[], Iterable[FiguresReport]],
        alive: Callable[[], frozenset[str]],
        *,
        gateway: str,
        clock: Time,
        wall_clock: Callable[[], float],
    ) -> None:
        """`alive` are the names of pickers that count; `gateway` names the writer of statuses."""
        self._reports = reports
        self._alive = alive
        self._gateway = gateway
        self._clock = clock
        self._wall_clock = wall_clock
        self._shown: dict[ResourceKey, _Shown] = {}
        self._looked_at: float | None = None

    def look(
        self, tenants: Iterable[TenantSnapshot], resources: Mapping[ResourceKey, Stored]
    ) -> tuple[Mapping[ResourceKey, Columns], float | None]:
        """Fields by tenant, and in how many seconds to look again where nothing else happens.

        While no picker says anything, what was said last stays.
        """
        keys = {tenant.key: tenant for tenant in tenants if _budgets(tenant)}
        mine = {key: keys[key.key] for key in resources if key.kind == "Tenant" and key.key in keys}
        self._shown = {
            key: self._shown.get(key) or self._as_stored(tenant, resources[key])
            for key, tenant in mine.items()
        }
        said = merged(self._reports(), self._alive())
        if said is None:
            return {key: one.columns for key, one in self._shown.items()}, None
        now = self._clock()
        for key, tenant in mine.items():
            if self._shown[key].budgets != _budgets(tenant):
                self._shown[key] = self._found(tenant, said, now)
        left = 0.0 if self._looked_at is None else self._looked_at + EVERY_SECONDS - now
        again: float | None = left if mine else None
        if left <= 0:
            self._looked_at = now
            again = self._follow(mine, said, now)
        return {key: one.columns for key, one in self._shown.items()}, again

    def _follow(
        self,
        tenants: Mapping[ResourceKey, TenantSnapshot],
        said: Mapping[str, list[PartyFigures]],
        now: float,
    ) -> float | None:
        """Show new figures of those whose old ones have stood longest; when to go on with the rest."""
        today, shown = utc_text(self._wall_clock()), self._shown
        changed = [key for key, tenant in tenants.items() if shown[key].is_old(_of(tenant, said), today)]
        followed = 0
        for key in sorted(changed, key=lambda key: shown[key].at):
            if followed == MOST_AT_ONCE:
                return EVERY_SECONDS
            found = self._found(tenants[key], said, now)
            followed += found.columns != shown[key].columns
            shown[key] = found
        return None

    def _found(self, tenant: TenantSnapshot, said: Mapping[str, list[PartyFigures]], now: float) -> _Shown:
        figures = _of(tenant, said)
        statuses, left_out = budget_statuses(tenant, figures, self._wall_clock())
        resets = min((one.resets for one in statuses), default="")
        return _Shown(_budgets(tenant), spending_columns(statuses, left_out), now, figures, resets)

    def _as_stored(self, tenant: TenantSnapshot, stored: Stored) -> _Shown:
        """What its status says already: of an operator before this one."""
        ours = stored.status.get("gateway") == self._gateway
        columns = {name: stored.status[name] for name in _FIELDS if ours and name in stored.status}
        return _Shown(_budgets(tenant), columns, 0.0)


def merged(
    reports: Iterable[FiguresReport], alive: frozenset[str]
) -> Mapping[str, list[PartyFigures]] | None:
    """Figures by tenant; None where no picker that is alive says any.

    Those of a store that pickers share count once, as they were read last; else each picker's are added up.
    """
    said = sorted((one for one in reports if one.replica in alive), key=lambda one: one.at)
    if not said:
        return None
    found: dict[tuple[str, PartyFigures], PartyFigures] = {}
    for report in said:
        for one in report.budgets:
            figures = one.figures
            key = (one.tenant, figures._replace(spent=0, held=0))
            before = found.get(key)
            if before is not None and not report.shared:
                figures = figures._replace(
                    spent=before.spent + figures.spent, held=before.held + figures.held
                )
            found[key] = figures
    by_tenant: dict[str, list[PartyFigures]] = {}
    for (tenant, _), figures in found.items():
        by_tenant.setdefault(tenant, []).append(figures)
    return by_tenant


def _of(tenant: TenantSnapshot, said: Mapping[str, list[PartyFigures]]) -> tuple[PartyFigures, ...]:
    return tuple(said.get(tenant.name, ()))


def _budgets(tenant: TenantSnapshot) -> tuple[BudgetLimitSnapshot, ...]:
    return () if tenant.governance is None else tenant.governance.budgets
