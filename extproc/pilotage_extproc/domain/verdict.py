"""What a guard says of a request."""

from dataclasses import dataclass
from typing import Literal


@dataclass(slots=True, frozen=True)
class Verdict:
    """Whether it may go on."""

    action: Literal["allow", "flag", "block"]
    kinds: tuple[str, ...] = ()
    """What was found, by name: short words, never a value."""


class NoVerdictError(Exception):
    """A guard does not say; why, without anything that was sent or answered."""
