"""What became of a rule that was tried for a request."""

from typing import NamedTuple


class Trial(NamedTuple):
    """One rule's turn."""

    policy: str
    """`namespace/name`."""
    rule: str
    holds: bool
    reason: str = ""
    """Why it did not hold where that is not its plain value, such as `unknown: request.turns`."""
