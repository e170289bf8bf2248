"""The decision record: what was decided and on what grounds, kept for whoever asks."""

import time
from collections.abc import Callable

from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.recording.decision_log import DecisionLog
from pilotage_extproc.recording.record import DecisionRecord
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.stage import OnError, Step


class Record(Step):
    """Keeps the frozen projection of each decided request, and completes it by its outcome."""

    name = "record"
    on_error = OnError.SKIP
    settles = True

    def __init__(
        self, decisions: DecisionLog[DecisionRecord], utc_now: Callable[[], float] = time.time
    ) -> None:
        self._decisions = decisions
        self._utc_now = utc_now

    def apply(self, exchange: Exchange) -> None:
        """Keep what is known now."""
        self._decisions.add(exchange.decision.id, DecisionRecord.of(exchange, self._utc_now()))

    def finish(self, exchange: Exchange, outcome: Outcome) -> None:
        """Complete it, where it is still kept."""
        record = self._decisions.find(exchange.decision.id)
        if record is not None:
            record.complete(outcome)

    def amend(self, exchange: Exchange, outcome: Outcome) -> None:
        """The same: what was unknown is known now."""
        self.finish(exchange, outcome)
