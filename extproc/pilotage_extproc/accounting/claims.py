"""What a request claims of limits and budgets before it is sent, and what it is told.

All claims of a request are granted together, or none is. An account is what a claim counts against: a limit
or a budget of a policy, and the party that it counts for.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

from pilotage_api.periods import Period

SLOTS: Final = 100
"""Parts of a window: what was used leaves it by the slot. Counted are the slot of now and the hundred before,
so that a window is never overdrawn, and never by over a hundredth too small."""


UNBOUNDED: Final = 2**53 - 1
"""The bound of a claim that refuses nobody: the largest number that every store counts exactly."""


class Amount(IntEnum):
    """What a claim's figure is; its number is part of the journal's format."""

    REQUESTS = 0
    INPUT_TOKENS = 1
    OUTPUT_TOKENS = 2
    TOTAL_TOKENS = 3
    CONCURRENT = 4
    MONEY = 5
    """Nano-dollars."""


class WindowClaim(NamedTuple):
    """A share of what may be used in any window of some length."""

    account: str
    amount: Amount
    bound: int
    held: int
    """Counted from admission on, and corrected in its slot when the request has ended."""
    window_ms: int
    model: str | None = None
    """The upstream model whose tokens alone it counts; None counts those of all."""


class ConcurrentClaim(NamedTuple):
    """A place among the requests under way."""

    account: str
    bound: int
    amount: Amount = Amount.CONCURRENT
    held: int = 1


class BudgetClaim(NamedTuple):
    """Money of a period."""

    account: str
    bound: int
    """Nano-dollars."""
    held: int
    """Nano-dollars; the most that it can cost where the budget is hard, nothing where it is soft."""
    period: Period
    hard: bool
    amount: Amount = Amount.MONEY
    model: str | None = None
    """The upstream model whose cost alone it counts; None counts that of all."""


Claim: TypeAlias = WindowClaim | ConcurrentClaim | BudgetClaim


class Admission(NamedTuple):
    """What one request asks for."""

    id: str
    """Decision id; a request is counted once under it."""
    claims: tuple[Claim, ...]
    lease_seconds: float
    """After this a hold that nobody has settled is given back."""
    note: bytes = b""
    """What another process needs to settle it (`SettlingNote`)."""


class Granted(NamedTuple):
    """All claims are held."""

    slots: tuple[int, ...]
    """For each claim, the slot that a window counts it in; 0 of others."""
    used: tuple[int, ...] = ()
    """For each claim, what its window counts now, with the claim itself; 0 of others."""


class Refused(NamedTuple):
    """One claim does not fit, and nothing is held."""

    claim: Claim
    used: int
    """Of its bound, now."""
    retry_after_seconds: float | None
    """When it may fit; None where no waiting helps."""


Verdict: TypeAlias = Granted | Refused


class Hold(NamedTuple):
    """What a request holds, as its process remembers it."""

    id: str
    claims: tuple[Claim, ...]
    slots: tuple[int, ...]


class Settlement(NamedTuple):
    """What a request has used in the end, claim by claim."""

    hold: Hold
    amounts: tuple[int, ...]
    exact: bool
    """False is an estimate: an exact one that comes later takes its place, once."""
    unheld: bool = False
    """Whether it was never admitted by itself: an attempt that failed, at first an estimate."""


def bounds_fit(claims: Sequence[Claim]) -> Refused | None:
    """The first claim that is larger than its whole bound: no waiting helps."""
    for claim in claims:
        if claim.held > claim.bound:
            return Refused(claim, 0, None)
    return None
