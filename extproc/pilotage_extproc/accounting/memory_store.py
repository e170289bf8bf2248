"""Limits and budgets counted in this process."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from pilotage_api.periods import Period
from pilotage_extproc.accounting.budget import Budget
from pilotage_extproc.accounting.claims import (
    SLOTS,
    Admission,
    BudgetClaim,
    Claim,
    ConcurrentClaim,
    Granted,
    Hold,
    Refused,
    Settlement,
    Verdict,
    WindowClaim,
    bounds_fit,
)
from pilotage_extproc.accounting.note import SettlingNote
from pilotage_extproc.accounting.store import Booked, StoreAway, untold
from pilotage_extproc.accounting.window import Window
from pilotage_extproc.domain.clock import Clock

REMEMBERED_SECONDS: Final = 86_400.0
"""How long an id counts once."""
_MOST_ACCOUNTS: Final = 200_000
_MOST_REMEMBERED: Final = 200_000
_SWEEP_SECONDS: Final = 1.0
_CONCURRENT_RETRY_SECONDS: Final = 1.0


class _Open(NamedTuple):
    admission: Admission
    slots: tuple[int, ...]
    until: float
    """Monotonic seconds; the end of its lease."""


class _Ended(NamedTuple):
    """A request whose usage is not known exactly: estimated, or expired with nothing booked."""

    claims: tuple[Claim, ...]
    slots: tuple[int, ...]
    amounts: tuple[int, ...] | None
    """As estimated; None where it has expired."""
    note: bytes
    at: float


_Place: TypeAlias = Window | Budget | None


class MemoryStore:
    """Windows by monotonic time, so that no step of the wall clock moves them."""

    def __init__(self, clock: Clock, on_booked: Callable[[Booked], None] = lambda _: None) -> None:
        self._clock = clock
        self._on_booked = on_booked
        self._windows: dict[tuple[str, int], tuple[int, Window]] = {}
        """With the milliseconds of a slot: a limit whose window was changed counts anew."""
        self._running: dict[str, int] = {}
        self._budgets: dict[tuple[str, Period], Budget] = {}
        self._open: OrderedDict[str, _Open] = OrderedDict()
        """In the order of admission. Leases are all about as long, so the first to end comes first."""
        self._ended: OrderedDict[str, _Ended] = OrderedDict()
        self._swept_at = clock()
        self.clock_offset_seconds = 0.0
        self.expired = 0
        """Holds that were given back because nobody settled them."""

    def __len__(self) -> int:
        return len(self._open)

    # the store's contract

    def admit(self, admission: Admission) -> Verdict:
        """Hold what a request claims. Raises StoreAway where no further party can be counted."""
        now = self._clock()
        self.expire(now)
        refused = bounds_fit(admission.claims)
        if refused is not None:
            return refused
        places: list[_Place] = []
        for claim in admission.claims:
            place = self._place(claim, now)
            refused = self._refused(claim, place, now)
            if refused is not None:
                return refused
            places.append(place)
        slots = tuple(map(self._hold, admission.claims, places))
        self._open[admission.id] = _Open(admission, slots, now + admission.lease_seconds)
        return Granted(slots, tuple([one.total if isinstance(one, Window) else 0 for one in places]))

    def settle(self, settlement: Settlement, told: Callable[[bool], None] = untold) -> None:
        """Book what a request used: once, or once more where an exact usage follows an estimate."""
        told(self._settle(settlement, self._clock()))

    def spent(self, claim: BudgetClaim) -> int:
        """Nano-dollars that the ledger of a budget shows."""
        budget = self._budgets.get((claim.account, claim.period))
        return 0 if budget is None else budget.booked

    def find(self, hold_id: str) -> bytes | None:
        """The note of a hold that can still be settled."""
        held = self._open.get(hold_id)
        if held is not None:
            return held.admission.note
        ended = self._ended.get(hold_id)
        return None if ended is None else ended.note

    # upkeep

    def expire(self, now: float) -> None:
        """Give back holds whose lease has ended. Amortised O(1) a request."""
        while self._open:
            identifier, held = next(iter(self._open.items()))
            if held.until > now:
                break
            del self._open[identifier]
            self.expired += 1
            for claim in held.admission.claims:
                self._give_back(claim)
            ended = _Ended(held.admission.claims, held.slots, None, held.admission.note, now)
            self._remember(identifier, ended)
        while self._ended:
            identifier, ended = next(iter(self._ended.items()))
            if ended.at > now - REMEMBERED_SECONDS:
                break
            del self._ended[identifier]

    def restore_budget(self, account: str, period: Period, *, settled: int, estimated: int) -> None:
        """Begin with what a journal says was spent."""
        budget = self._budgets.setdefault((account, period), Budget())
        budget.book(settled, exact=True)
        budget.book(estimated, exact=False)

    def restore_hold(self, note: SettlingNote, lease_seconds: float) -> None:
        """Hold again what a process that is gone held; windows begin anew."""
        claims = tuple([claim for claim in note.hold.claims if not isinstance(claim, WindowClaim)])
        hold = Hold(note.hold.id, claims, (0,) * len(claims))
        restored = note._replace(hold=hold)
        now = self._clock()
        for claim in claims:
            self._hold(claim, self._place(claim, now))
        admission = Admission(hold.id, claims, lease_seconds, restored.encoded())
        self._open[hold.id] = _Open(admission, hold.slots, now + lease_seconds)

    def budgets(self) -> list[tuple[str, int, int, int]]:
        """Account, begin of the period, nano-dollars booked and held, of all budgets there are."""
        self.expire(self._clock())
        return [
            (account, period.start, one.booked, one.held) for (account, period), one in self._budgets.items()
        ]

    def figures(self) -> tuple[int, int, int]:
        """Settled, estimated and held nano-dollars of all budgets there are."""
        budgets = self._budgets.values()
        return (
            sum(one.settled for one in budgets),
            sum(one.estimated for one in budgets),
            sum(one.held for one in budgets),
        )

    # claims, by their kind

    def _place(self, claim: Claim, now: float) -> _Place:
        """Where it is counted; None of requests under way, which are a number."""
        if isinstance(claim, WindowClaim):
            return self._window(claim, now)
        if isinstance(claim, ConcurrentClaim):
            return None
        budget = self._budgets.get((claim.account, claim.period))
        if budget is None:
            self._make_room(now)
            budget = self._budget(claim)
        return budget

    def _refused(self, claim: Claim, place: _Place, now: float) -> Refused | None:
        if isinstance(place, Window):
            if place.total + claim.held <= claim.bound:
                return None
            return _refused_by_window(claim, place, now)
        if isinstance(place, Budget):
            if (isinstance(claim, BudgetClaim) and not claim.hard) or place.taken + claim.held <= claim.bound:
                return None
            freed = place.booked + claim.held <= claim.bound
            return Refused(claim, place.taken, _CONCURRENT_RETRY_SECONDS if freed else None)
        running = self._running.get(claim.account, 0)
        fits_now = running + claim.held <= claim.bound
        return None if fits_now else Refused(claim, running, _CONCURRENT_RETRY_SECONDS)

    def _hold(self, claim: Claim, place: _Place) -> int:
        if isinstance(place, Window):
            place.add(place.head, claim.held)
            return place.head
        if isinstance(place, Budget):
            place.hold(claim.held)
        else:
            self._running[claim.account] = self._running.get(claim.account, 0) + claim.held
        return 0

    def _give_back(self, claim: Claim) -> None:
        """End a hold; what a window counts of it stays until it is corrected or has left."""
        if isinstance(claim, ConcurrentClaim):
            left = self._running.get(claim.account, 0) - claim.held
            if left > 0:
                self._running[claim.account] = left
            else:
                self._running.pop(claim.account, None)
        elif isinstance(claim, BudgetClaim):
            self._budget(claim).release(claim.held)

    def _settle(self, settlement: Settlement, now: float) -> bool:
        identifier = settlement.hold.id
        held = self._open.pop(identifier, None)
        if held is not None:
            self._settle_open(held, settlement, now)
            return True
        ended = self._ended.get(identifier)
        if ended is None and settlement.unheld and not settlement.exact:
            ended = self._ended[identifier] = _Ended(
                settlement.hold.claims, settlement.hold.slots, None, b"", now
            )
        if ended is None or (ended.amounts is not None and not settlement.exact):
            return False
        del self._ended[identifier]
        self._settle_ended(ended, settlement, now)
        if not settlement.exact:
            self._remember(identifier, ended._replace(amounts=settlement.amounts, at=now))
        return True

    def _settle_open(self, held: _Open, settlement: Settlement, now: float) -> None:
        claims = held.admission.claims
        for claim, slot, amount in zip(claims, held.slots, settlement.amounts, strict=True):
            if isinstance(claim, WindowClaim):
                if amount != claim.held:
                    self._correct(claim, slot, amount - claim.held, now)
            elif isinstance(claim, BudgetClaim):
                budget = self._budget(claim)
                budget.release(claim.held)
                budget.book(amount, exact=settlement.exact)
                self._on_booked(Booked(claim, budget.booked))
            else:
                self._give_back(claim)
        if not settlement.exact:
            note = held.admission.note
            self._remember(settlement.hold.id, _Ended(claims, held.slots, settlement.amounts, note, now))

    def _settle_ended(self, ended: _Ended, settlement: Settlement, now: float) -> None:
        before = ended.amounts
        for index, (claim, amount) in enumerate(zip(ended.claims, settlement.amounts, strict=True)):
            if isinstance(claim, WindowClaim):
                counted = claim.held if before is None else before[index]
                self._correct(claim, ended.slots[index], amount - counted, now)
            elif isinstance(claim, BudgetClaim):
                if before is None:
                    self._budget(claim).book(amount, exact=settlement.exact)
                else:
                    self._budget(claim).correct(before[index], amount)
                self._tell(claim)

    def _tell(self, claim: BudgetClaim) -> None:
        self._on_booked(Booked(claim, self._budget(claim).booked))

    # accounts

    def _window(self, claim: WindowClaim, now: float) -> Window:
        slot_ms = claim.window_ms // SLOTS
        key = (claim.account, claim.amount.value)
        known = self._windows.get(key)
        if known is None or known[0] != slot_ms:
            self._make_room(now)
            known = self._windows[key] = (slot_ms, Window())
        window = known[1]
        window.advance(_slot(now, slot_ms))
        return window

    def _correct(self, claim: WindowClaim, slot: int, by: int, now: float) -> None:
        known = self._windows.get((claim.account, claim.amount.value))
        slot_ms = claim.window_ms // SLOTS
        if known is not None and known[0] == slot_ms:
            known[1].advance(_slot(now, slot_ms))
            known[1].add(slot, by)

    def _budget(self, claim: BudgetClaim) -> Budget:
        key = (claim.account, claim.period)
        known = self._budgets.get(key)
        if known is None:
            known = self._budgets[key] = Budget()
        return known

    def _make_room(self, now: float) -> None:
        if len(self._windows) + len(self._budgets) < _MOST_ACCOUNTS:
            return
        if now >= self._swept_at + _SWEEP_SECONDS:
            self._swept_at = now
            self._sweep(now)
        if len(self._windows) + len(self._budgets) >= _MOST_ACCOUNTS:
            raise StoreAway(f"more than {_MOST_ACCOUNTS} accounts are in use")

    def _sweep(self, now: float) -> None:
        for key, (slot_ms, window) in list(self._windows.items()):
            window.advance(_slot(now, slot_ms))
            if not window.total:
                del self._windows[key]
        latest: dict[str, int] = {}
        for account, period in self._budgets:
            latest[account] = max(latest.get(account, 0), period.start)
        for (account, period), budget in list(self._budgets.items()):
            if period.start < latest[account] and not budget.held:
                del self._budgets[account, period]

    def _remember(self, identifier: str, ended: _Ended) -> None:
        self._ended[identifier] = ended
        if len(self._ended) > _MOST_REMEMBERED:
            self._ended.popitem(last=False)


def _slot(now: float, slot_ms: int) -> int:
    return int(now * 1000) // slot_ms


def _refused_by_window(claim: Claim, window: Window, now: float) -> Refused:
    fits = window.fits_from(claim.held, claim.bound)
    slot_ms = claim.window_ms // SLOTS if isinstance(claim, WindowClaim) else 0
    return Refused(claim, window.total, None if fits is None else fits * slot_ms / 1000 - now)
