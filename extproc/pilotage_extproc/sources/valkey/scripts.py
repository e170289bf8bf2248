"""The scripts, and what they take: keys and arguments of claims."""

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
ALL: Final = (ADMIT, SETTLE, CONTRIBUTE, REHOLD, ESTIMATE, OPEN)


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
        self.epoch = f"{prefix}:epoch"
        self.writers = f"{prefix}:writers"
        self.rebuild = f"{prefix}:rebuild"

    def id(self, hold_id: str) -> str:
        """Of a request."""
        return f"{self._prefix}:i:{hold_id}"

    def claim(self, claim: Claim) -> str:
        """Of what a claim counts against."""
        account = claim.account
        if isinstance(claim, BudgetClaim):
            return self.budget(account, claim.period.start)
        kind = f"w{claim.amount.value}" if isinstance(claim, WindowClaim) else "c"
        return f"{self._prefix}:{{{_tag(account)}}}:{kind}:{account}"

    def budget(self, account: str, start: int) -> str:
        """Of a budget in a period."""
        return f"{self._prefix}:{{{_tag(account)}}}:b:{account}:{start}"


def _tag(account: str) -> str:
    return account.partition("=")[2].partition("/")[0]


def packed(script: Script, keys: list[str], arguments: list[bytes | str | int]) -> bytes:
    """The command that runs a script, in RESP.

    Written here because the client's own packing takes several times as long.
    """
    parts = [b"%d" % len(keys), *[key.encode() for key in keys]]
    parts += [
        one if isinstance(one, bytes) else one.encode() if isinstance(one, str) else b"%d" % one
        for one in arguments
    ]
    written = [b"$%d\r\n%b\r\n" % (len(part), part) for part in parts]
    return b"*%d\r\n%b%b" % (len(parts) + 2, script.command, b"".join(written))


def admission_arguments(admission: Admission) -> list[bytes | str | int]:
    """For `admit.lua`, and all but the last for `rehold.lua`."""
    arguments: list[bytes | str | int] = [round(admission.lease_seconds * 1000), admission.note]
    for claim in admission.claims:
        if isinstance(claim, WindowClaim):
            arguments += ("w", claim.bound, claim.held, claim.window_ms, 0)
        elif isinstance(claim, BudgetClaim):
            bound = claim.bound if claim.hard else -1
            arguments += ("b", bound, claim.held, claim.period.start, claim.period.end)
        else:
            arguments += ("c", claim.bound, claim.held, 0, 0)
    return arguments


def settlement_arguments(settlement: Settlement, writer: str) -> list[bytes | str | int]:
    """For `settle.lua`."""
    hold = settlement.hold
    slots = hold.slots or (0,) * len(hold.claims)
    arguments: list[bytes | str | int] = [int(settlement.exact), writer]
    for claim, slot, used in zip(hold.claims, slots, settlement.amounts, strict=True):
        if isinstance(claim, WindowClaim):
            arguments += ("w", claim.held, used, claim.window_ms, slot)
        elif isinstance(claim, BudgetClaim):
            arguments += ("b", claim.held, used, claim.period.end, 0)
        else:
            arguments += ("c", claim.held, used, 0, 0)
    return arguments
