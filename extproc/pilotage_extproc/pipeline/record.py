"""What is kept of a decision: columns and facts, no prompt text, nothing formatted."""

from dataclasses import dataclass

from pilotage_extproc.domain.decision import Decision
from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.domain.request import CallKind
from pilotage_extproc.pipeline.routing import Route
from pilotage_extproc.scheduling.scheduler import Ranking

_FACTS_BYTES = 1500


@dataclass(slots=True)
class DecisionRecord:
    """One decision with all it was based on, and once settled what became of it."""

    decision: Decision
    kind: CallKind
    path: str
    stream: bool
    body_bytes: int
    subset: tuple[str, ...] | None
    route: Route
    ranking: Ranking
    decided_at_utc: float
    """Seconds since the epoch, for people."""
    outcome: Outcome | None = None

    @property
    def nbytes(self) -> int:
        """What the record costs to keep; the route is shared."""
        return _FACTS_BYTES + self.ranking.nbytes
