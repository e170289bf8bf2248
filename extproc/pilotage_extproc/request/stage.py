"""One step of a request's way, and what it leaves behind to be settled."""

from collections.abc import Awaitable
from enum import Enum
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

if TYPE_CHECKING:
    from pilotage_extproc.domain.decision import DirectAnswer
    from pilotage_extproc.domain.outcome import Outcome
    from pilotage_extproc.request.exchange import Exchange

FeatureKey = str
"""Name of something that is known of a request, such as `request.model`."""


class OnError(Enum):
    """What becomes of a request when a stage fails."""

    REFUSE = "refuse"
    """The stage is required."""
    SKIP = "skip"
    """It is optional: recorded, and done without."""


class Stage(Protocol):
    """One step. Stages are shared by all requests: what one request needs is kept in its exchange."""

    name: ClassVar[str]
    needs: frozenset[FeatureKey]
    """Features that must be there before it is applied."""
    provides: frozenset[FeatureKey]
    """Features it leaves in the exchange: it is applied only where a live rule asks for one of them."""
    on_error: ClassVar[OnError]
    settles: ClassVar[bool]
    """Whether `finish` or `amend` do anything."""

    def narrowed(self, wanted: frozenset[FeatureKey]) -> Self:
        """The stage as a plan takes it in that asks for these features: it finds out no others."""

    def kept_here(self) -> Self:
        """The stage as a plan takes it in whose requests no network may be asked about."""

    def apply(self, exchange: "Exchange") -> "DirectAnswer | Awaitable[DirectAnswer | None] | None":
        """Do the step; an awaitable where it has to wait. Raises RequestRefused."""

    def finish(self, exchange: "Exchange", outcome: "Outcome") -> None:
        """The request has ended: on an outcome, a refusal, a cancelled stream. Once, if `apply` began."""

    def amend(self, exchange: "Exchange", outcome: "Outcome") -> None:
        """An outcome that came after the request had been given up and finished."""


class Step:
    """A stage that reads no features, is required, and has nothing to settle; stages derive from it."""

    name: ClassVar[str] = ""
    needs: frozenset[FeatureKey] = frozenset()
    provides: frozenset[FeatureKey] = frozenset()
    on_error: ClassVar[OnError] = OnError.REFUSE
    settles: ClassVar[bool] = False

    def narrowed(self, wanted: frozenset[FeatureKey]) -> Self:  # noqa: ARG002 - it finds out all it can
        """The stage itself: what it finds out, it finds out together."""
        return self

    def kept_here(self) -> Self:
        """The stage itself: it asks nobody."""
        return self

    def finish(self, exchange: "Exchange", outcome: "Outcome") -> None:
        """Nothing is left behind."""

    def amend(self, exchange: "Exchange", outcome: "Outcome") -> None:
        """Nothing was left behind."""
