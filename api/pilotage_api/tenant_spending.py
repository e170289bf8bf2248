"""What a tenant has of its budgets: figures of pickers, as its status shows them. Pure."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from pilotage_api.governance_snapshot import BudgetLimitSnapshot, Per
from pilotage_api.money import dollars_text, nano_dollars
from pilotage_api.periods import Calendar, Period, PeriodLength
from pilotage_api.status import BudgetStatus
from pilotage_api.tenant_snapshot import TenantSnapshot

MOST_BUDGETS: Final = 32
"""Budgets and parties of one tenant that are shown; those nearest to their bound come first."""
HIDDEN: Final = frozenset({Per.USER})
"""Names of people do not stand where everybody who reads Tenants sees them."""


class PartyFigures(NamedTuple):
    """One budget of one party of a tenant, in one period."""

    per: str
    period: str
    time_zone: str
    party: str
    """The team, key or model; empty where the tenant itself is counted."""
    start: int
    """Begin of the period, seconds since the epoch."""
    spent: int
    """Nano-dollars of the ledger: settled and estimated."""
    held: int
    """Nano-dollars of requests under way."""


class _Shown(NamedTuple):
    share: float
    status: BudgetStatus


def budget_statuses(
    tenant: TenantSnapshot, figures: Iterable[PartyFigures], now: float
) -> tuple[list[BudgetStatus], int]:
    """The tenant's budgets in the period of `now` (seconds since the epoch), and how many are left out.

    Figures of a period that is over count no more. A budget of the tenant as a whole is shown even where
    nothing was spent of it, others once something was.
    """
    known = tuple(figures)
    shown: list[_Shown] = []
    for budget in () if tenant.governance is None else tenant.governance.budgets:
        if budget.per in HIDDEN:
            continue
        mine = [one for one in known if _is_of(one, budget)]
        calendar = Calendar(PeriodLength(budget.period), budget.time_zone)
        # a picker's clock, or the store's, may be in the next period already
        period = calendar.at(max([now, *(one.start for one in mine)]))
        mine = [one for one in mine if one.start == period.start]
        if not mine and budget.per is Per.TENANT:
            mine = [PartyFigures(budget.per, budget.period, budget.time_zone, "", period.start, 0, 0)]
        shown += [_shown(budget, one, period) for one in mine]
    shown.sort(key=lambda one: (-one.share, one.status.per, one.status.party or ""))
    return [one.status for one in shown[:MOST_BUDGETS]], max(0, len(shown) - MOST_BUDGETS)


def spending_columns(statuses: list[BudgetStatus], left_out: int) -> dict[str, Any]:
    """The fields of a Tenant's status that say what was spent; empty without a budget."""
    if not statuses:
        return {}
    first = statuses[0]
    columns: dict[str, Any] = {
        "spent": f"{first.spent}/{first.usd}",
        "held": first.held,
        "resets": first.resets,
        "budgets": [one.model_dump(by_alias=True, exclude_none=True) for one in statuses],
    }
    return {**columns, "budgetsLeftOut": left_out} if left_out else columns


def utc_text(epoch_seconds: float) -> str:
    """A moment as statuses have it: `2026-12-01T00:00:00Z`. Later ones come later in order of text, too."""
    return datetime.fromtimestamp(epoch_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_of(one: PartyFigures, budget: BudgetLimitSnapshot) -> bool:
    return (one.per, one.period, one.time_zone) == (budget.per, budget.period, budget.time_zone)


def _shown(budget: BudgetLimitSnapshot, one: PartyFigures, period: Period) -> _Shown:
    bound = nano_dollars(budget.usd)
    status = BudgetStatus(
        per=one.per,
        party=one.party or None,
        period=budget.period,
        time_zone=budget.time_zone,
        mode="hard" if budget.hard else "soft",
        usd=budget.usd,
        spent=dollars_text(one.spent),
        held=dollars_text(one.held),
        remaining=dollars_text(max(0, bound - one.spent - one.held)),
        resets=utc_text(period.end),
    )
    return _Shown((one.spent + one.held) / bound, status)
