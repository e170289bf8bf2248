"""A placed request counts at its first endpoint at once, and what became of it teaches."""

from typing import Final

from pilotage_extproc.domain.clock import Clock
from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.request.exchange import Exchange, Note
from pilotage_extproc.request.stage import Step
from pilotage_extproc.scheduling.feedback import Learner, Placed

_PLACED: Final = Note[Placed]("placed")


class Count(Step):
    """Counts the request as in flight from its decision to its end."""

    name = "count"
    settles = True

    def __init__(self, learner: Learner, clock: Clock) -> None:
        self._learner = learner
        self._clock = clock

    def apply(self, exchange: Exchange) -> None:
        """It is in flight."""
        decision = exchange.decision
        placed = self._learner.placed(
            decision.id,
            decision.targets,
            exchange.features,
            cached_tokens=exchange.ranking.cached_tokens,
            now=decision.decided_at,
        )
        exchange.keep(_PLACED, placed)

    def finish(self, exchange: Exchange, outcome: Outcome) -> None:
        """It has ended, or was given up."""
        placed = exchange.kept(_PLACED)
        if placed is not None:
            self._learner.settled(placed, outcome, self._clock(), exchange.failed_at)

    def amend(self, exchange: Exchange, outcome: Outcome) -> None:
        """It no longer counts, but its outcome still teaches."""
        self.finish(exchange, outcome)
