"""What tenants have of their budgets now, as this process knows or their store says."""

import time
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from pilotage_api.tenant_snapshot import TenantSnapshot
from pilotage_api.tenant_spending import PartyFigures, budget_statuses
from pilotage_extproc.accounting.tenant_budgets import AccountPeriod, TenantBudgets
from pilotage_extproc.server.accounting import Accounting
from pilotage_kube.turns import Turns

MOST_BUDGETS: Final = 5_000
"""Read at a time: fifty scripts of a store."""


class Figures(NamedTuple):
    """Figures of tenants' budgets."""

    shared: bool
    """Whether they are those of a store that all processes share."""
    at: float
    """When they were read, seconds since the epoch."""
    budgets: list[tuple[str, PartyFigures]]
    """By tenant's name; of most only where something was spent or is held."""


class FiguresReader:
    """Reads them when it is asked, in short turns; never while a request is decided."""

    def __init__(
        self,
        accounting: Accounting,
        tenants: Callable[[], tuple[TenantSnapshot, ...]],
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._accounting = accounting
        self._tenants = tenants
        self._wall_clock = wall_clock
        self._of: tuple[TenantSnapshot, ...] = ()
        self._budgets = TenantBudgets(())
        """Of these."""

    async def read(self) -> Figures | None:
        """What there is now; None where no tenant has a budget. Raises StoreAway."""
        budgets = self._known()
        if not budgets:
            return None
        now = self._wall_clock()
        store = self._accounting.valkey
        if store is None:
            return Figures(False, now, await self._counted_here(budgets, now))
        turns, wanted = Turns(), dict[AccountPeriod, None]()
        for one in budgets.named(now):
            wanted[one] = None
            await turns.give()
        wanted |= dict.fromkeys(await _current(budgets, store.seen, now))
        asked = list(wanted)[:MOST_BUDGETS]
        amounts = await store.figures(asked)
        told = zip(asked, amounts, strict=True)
        found = [budgets.figures(one, *both) for one, both in told if any(both)]
        return Figures(True, now, found)

    async def shown(self) -> dict[str, Any]:
        """The same to be read: by tenant its budgets, as in the status of its resource. Raises StoreAway."""
        figures = await self.read()
        mine: dict[str, list[PartyFigures]] = {}
        for name, one in () if figures is None else figures.budgets:
            mine.setdefault(name, []).append(one)
        shown: dict[str, Any] = {}
        for tenant in self._tenants():
            statuses, left_out = budget_statuses(tenant, mine.get(tenant.name, ()), self._wall_clock())
            if statuses:
                dumped = [one.model_dump(by_alias=True, exclude_none=True) for one in statuses]
                shown[tenant.name] = {"budgets": dumped, "budgetsLeftOut": left_out}
        return {"shared": self._accounting.valkey is not None, "tenants": shown}

    def _known(self) -> TenantBudgets:
        tenants = self._tenants()
        if tenants is not self._of:
            self._of, self._budgets = tenants, TenantBudgets(tenants)
        return self._budgets

    async def _counted_here(self, budgets: TenantBudgets, now: float) -> list[tuple[str, PartyFigures]]:
        amounts = {
            (account, start): both for account, start, *both in self._accounting.memory.budgets() if any(both)
        }
        current = await _current(budgets, amounts, now)
        return [budgets.figures(one, *amounts[one]) for one in current]


async def _current(budgets: TenantBudgets, known: Iterable[AccountPeriod], now: float) -> list[AccountPeriod]:
    turns = Turns()
    found: list[AccountPeriod] = []
    for one in known:
        if budgets.is_current(one, now):
            found.append(one)
        await turns.give()
    return found
