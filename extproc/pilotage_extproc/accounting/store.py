"""Where limits and budgets are counted: in this process, or at one place for all of them."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

from pilotage_extproc.accounting.claims import Admission, BudgetClaim, Settlement, Verdict


class StoreAway(Exception):
    """The store cannot be asked now; the message says why."""


class Booked(NamedTuple):
    """A budget after a settlement."""

    claim: BudgetClaim
    booked: int
    """Settled and estimated nano-dollars of its period."""


class Store(Protocol):
    """Counts claims. `admit` grants all claims of a request or none; the rest never waits."""

    clock_offset_seconds: float
    """What its clock has more than this process's."""

    def admit(self, admission: Admission) -> Verdict | Awaitable[Verdict]:
        """Hold what a request claims. Raises StoreAway."""

    def settle(self, settlement: Settlement, told: Callable[[bool], None]) -> None:
        """Replace what a request holds by what it used; `told`, once known, whether that changed anything.

        A second settlement changes nothing, but for an exact one that follows an estimate.
        """

    def spent(self, claim: BudgetClaim) -> int:
        """Nano-dollars that a budget's ledger shows, as far as this process knows."""

    def find(self, hold_id: str) -> bytes | Awaitable[bytes | None] | None:
        """The note of a hold that can still be settled; None where there is none. Raises StoreAway."""


def untold(_changed: bool) -> None:
    """For those who need not know whether a settlement changed anything."""
