"""The scripts, and what they take: keys and arguments of claims."""

from collections.abc import Sequence
from functools import cached_property
from hashlib import sha1
from importlib.resources import files
from typing import Final, NamedTuple

from pilotage_extproc.accounting.claims import Admission, BudgetClaim, Claim, Settlement, WindowClaim


class Script:
    """One script with what all share before it."""

    def __init__(self, name: str) -> None:
        folder = files("pilotage_extproc.sources.valkey")
        self.text = "\n".join((folder / part).read_text() for part in ("common.lua", f"{name}.lua"))

    @cached_property
    def command(self) -> bytes:
        """How a command that runs it begins, on the wire, behind the number of its parts."""
        return b"$7\r\nEVALSHA\r\n$40\r\n%b\r\n" % self.digest.encode()

    @cached_property
    def digest(self) -> str:
        """What the server knows it by."""
        return sha1(self.text.encode(), usedforsecurity=False).hexdigest()


ADMIT: Final = Script("admit")
SETTLE: Final = Script("settle")
CONTRIBUTE: Final = Script("contribute")
REHOLD: Final = Script("rehold")
ESTIMATE: Final = Script("estimate")
OPEN: Final = Script("open")
FIGURES: Final = Script("figures")
ALL: Final = (ADMIT, SETTLE, CONTRIBUTE, REHOLD, ESTIMATE, OPEN, FIGURES)


_MOST_KNOWN: Final = 8192


class Booked(NamedTuple):
    """What a process has booked in one budget."""

    settled: int
    estimated: int


BudgetAccount = tuple[str, int, int]
"""Account, begin and end of its period."""


class Keys:
    """Names of keys below one prefix. What is a tenant's has the tenant's hash tag."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.epoch = f"{prefix}:epoch".encode()
        self.writers = f"{prefix}:writers".encode()
        self.rebuild = f"{prefix}:rebuild".encode()
        self._known: dict[tuple[str, int], bytes] = {}
        """Of what was asked for lately, by account and begin of its period, or what it counts."""

    def id(self, hold_id: str) -> bytes:
        """Of a request."""
        return f"{self._prefix}:i:{hold_id}".encode()

    def claim(self, claim: Claim) -> bytes:
        """Of what a claim counts against."""
        account = claim.account
        of = claim.period.start if isinstance(claim, BudgetClaim) else -claim.amount.value
        known = self._known.get((account, of))
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[account, of] = self._claim(claim)
        return known

    def _claim(self, claim: Claim) -> bytes:
        account = claim.account
        if isinstance(claim, BudgetClaim):
            return self.budget(account, claim.period.start)
        kind = f"w{claim.amount.value}" if isinstance(claim, WindowClaim) else "c"
        return f"{self._prefix}:{{{_tag(account)}}}:{kind}:{account}".encode()

    def budget(self, account: str, start: int) -> bytes:
        """Of a budget in a period."""
        return f"{self._prefix}:{{{_tag(account)}}}:b:{account}:{start}".encode()


def _tag(account: str) -> str:
    return account.partition("=")[2].partition("/")[0]


def packed(script: Script, keys: Sequence[bytes], arguments: Sequence[bytes]) -> bytes:
    """The command that runs a script, in RESP.

    Written here because the client's own packing takes several times as long.
    """
    parts = [b"%d" % len(keys), *keys, *arguments]
    written = [b"$%d\r\n%b\r\n" % (len(part), part) for part in parts]
    return b"*%d\r\n%b%b" % (len(parts) + 2, script.command, b"".join(written))


def command(*parts: bytes) -> bytes:
    """Any other command, in RESP."""
    return b"*%d\r\n%b" % (len(parts), b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts]))


def admission_arguments(admission: Admission) -> list[bytes]:
    """For `admit.lua`, and all but the last for `rehold.lua`."""
    claims: list[str] = []
    for claim in admission.claims:
        if isinstance(claim, WindowClaim):
            claims.append(f"w {claim.bound} {claim.held} {claim.window_ms} 0")
        elif isinstance(claim, BudgetClaim):
            bound = claim.bound if claim.hard else -1
            claims.append(f"b {bound} {claim.held} {claim.period.start} {claim.period.end}")
        else:
            claims.append(f"c {claim.bound} {claim.held} 0 0")
    return [b"%d" % round(admission.lease_seconds * 1000), admission.note, " ".join(claims).encode()]


def settlement_arguments(settlement: Settlement, writer: bytes) -> list[bytes]:
    """For `settle.lua`."""
    hold = settlement.hold
    slots = hold.slots or (0,) * len(hold.claims)
    claims: list[str] = []
    for claim, slot, used in zip(hold.claims, slots, settlement.amounts, strict=True):
        if isinstance(claim, WindowClaim):
            claims.append(f"w {claim.held} {used} {claim.window_ms} {slot}")
        elif isinstance(claim, BudgetClaim):
            claims.append(f"b {claim.held} {used} {claim.period.end} 0")
        else:
            claims.append(f"c {claim.held} {used} 0 0")
    return [b"1" if settlement.exact else b"0", writer, " ".join(claims).encode()]
