"""What is done for a request, compiled from a snapshot: stages in order, and nothing that is not used."""

from dataclasses import dataclass
from typing import Final

from pilotage_extproc.request.stage import Stage


@dataclass(slots=True, frozen=True)
class Plan:
    """Stages of one part of a request's way."""

    governance: tuple[Stage, ...] = ()
    """What the rule's policy asks for; empty where it asks for nothing."""
    deciding: tuple[Stage, ...] = ()
    committing: tuple[Stage, ...] = ()
    """What counts or keeps something of the decision: left out where one is only considered."""
    waiting: tuple[Stage, ...] = ()
    """Between the two: where requests wait for room; left out there too."""


NO_PLAN: Final = Plan()
