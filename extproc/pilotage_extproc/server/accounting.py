"""Limits and budgets of one process: where they are counted, written down, and who is told of them."""

import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from pilotage_api.periods import Period
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.accounting.alerts import Alerts
from pilotage_extproc.accounting.books import LEASE_MARGIN_SECONDS, Books
from pilotage_extproc.accounting.memory_store import MemoryStore
from pilotage_extproc.accounting.prices import PriceBook
from pilotage_extproc.accounting.store import StoreAway
from pilotage_extproc.domain.clock import Clock
from pilotage_extproc.sources.journal import SETTLED, Journal, JournalWriter, read_journals
from pilotage_extproc.sources.valkey.scripts import Booked, BudgetAccount
from pilotage_extproc.sources.valkey.store import ValkeyStore
from pilotage_extproc.telemetry.spending import Spending

log = logging.getLogger(__name__)

_LONGEST_PERIOD_SECONDS: Final = 32 * 86_400


class AccountingFault(Exception):
    """Books that cannot be opened; the message names the setting and the fix."""


class Upkept(Protocol):
    """Something that runs by itself."""

    async def run(self) -> None:
        """Until cancelled."""


@dataclass(slots=True, frozen=True)
class Accounting:
    """All parts of it."""

    books: Books
    prices: PriceBook
    alerts: Alerts
    memory: MemoryStore
    """Where this process counts by itself; empty where all count at one place."""
    spending: Spending
    valkey: ValkeyStore | None = None
    journal: JournalWriter | None = None

    def runs(self) -> list[tuple[Coroutine[Any, Any, None], str]]:
        """What runs by itself, with its name."""
        parts: list[tuple[Upkept | None, str]] = [(self.journal, "journal"), (self.valkey, "valkey")]
        return [(part.run(), name) for part, name in parts if part is not None]

    async def close(self) -> None:
        """Settle what can be settled, after what `runs` has ended."""
        if self.valkey is not None:
            await self.valkey.close()
        if self.journal is not None:
            self.journal.flush()  # what was settled just now


def new_accounting(settings: GatewaySettings, clock: Clock) -> Accounting:
    """Books of this process alone, that are empty and written down nowhere."""
    spending = Spending()
    alerts = Alerts(spending.alerts.add)
    store = MemoryStore(clock, alerts.see)
    return Accounting(_books(settings, store, None, spending), PriceBook(), alerts, store, spending)


def open_accounting(settings: GatewaySettings, clock: Clock, process_id: str) -> Accounting:
    """Books as the settings say, with what journals know of the time before.

    Raises AccountingFault where the journal cannot be used, or the client library is missing.
    """
    try:
        return _opened(settings, clock, process_id)
    except OSError as error:
        raise AccountingFault(f"governance.store.journalDir: {error.filename}: {error.strerror}") from None
    except StoreAway as error:
        raise AccountingFault(str(error)) from None


def _opened(settings: GatewaySettings, clock: Clock, process_id: str) -> Accounting:
    wanted = settings.governance.store
    spending = Spending()
    alerts = Alerts(spending.alerts.add)
    memory = MemoryStore(clock, alerts.see)
    shared = None if wanted.valkey is None else ValkeyStore(wanted.valkey, process_id, alerts.see)
    journal = None
    if wanted.journal_dir is not None:
        folder = Path(wanted.journal_dir)
        journal = JournalWriter(folder, process_id, wanted.journal_days, holds=shared is None)
        found = read_journals(folder, time.time() - _LONGEST_PERIOD_SECONDS)
        if found.damaged:
            log.warning("lines of the journal are damaged and left out", extra={"lines": found.damaged})
        _restore(found, memory, shared, settings.inflight_ttl_seconds + LEASE_MARGIN_SECONDS)
    books = _books(settings, memory if shared is None else shared, journal, spending)
    spending.watch(lambda: 0 if shared is None else int(bool(shared.away)), _lost(shared, journal))
    return Accounting(books, PriceBook(), alerts, memory, spending, shared, journal)


def shared_accounting(settings: GatewaySettings, clock: Clock, store: ValkeyStore) -> Accounting:
    """Books that are counted at this store, and written down nowhere."""
    spending = Spending()
    memory = MemoryStore(clock)
    books = _books(settings, store, None, spending)
    return Accounting(books, PriceBook(), Alerts(), memory, spending, store)


def _books(
    settings: GatewaySettings,
    store: MemoryStore | ValkeyStore,
    journal: JournalWriter | None,
    spending: Spending,
) -> Books:
    return Books(
        store,
        lease_seconds=settings.inflight_ttl_seconds + LEASE_MARGIN_SECONDS,
        keeps_notes=isinstance(store, ValkeyStore),
        serves_without=settings.governance.store.when_away == "serve",
        journal=journal,
        count=spending.settlements.add,
        count_ended=spending.ended.add,
    )


def _restore(found: Journal, memory: MemoryStore, shared: ValkeyStore | None, lease_seconds: float) -> None:
    now = time.time()
    for process, lines in found.usage.items():
        booked: dict[BudgetAccount, Booked] = {}
        for line in lines:
            for account, start, end, nano in line.budgets:
                if end <= now:
                    continue
                before = booked.get((account, start, end), Booked(0, 0))
                exact = line.state == SETTLED
                booked[account, start, end] = Booked(
                    before.settled + (nano if exact else 0), before.estimated + (0 if exact else nano)
                )
        if shared is not None:
            shared.begins_with(process, booked)
            continue
        for (account, start, end), one in booked.items():
            memory.restore_budget(account, Period(start, end), settled=one.settled, estimated=one.estimated)
    if shared is None:
        for note in found.open.values():
            memory.restore_hold(note, lease_seconds)


def _lost(shared: ValkeyStore | None, journal: JournalWriter | None) -> Callable[[], float]:
    def lost() -> float:
        return (0 if shared is None else shared.dropped) + (0 if journal is None else journal.lost)

    return lost
