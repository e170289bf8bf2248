"""What scraped pages say beside the table's figures, passed to those who keep it."""

from collections.abc import Iterable

from pilotage_extproc.domain.clock import Clock
from pilotage_extproc.server.state import ProcessState
from pilotage_extproc.state.waiting_line import WaitingLine


class EngineFeedback:
    """The scraper's sink."""

    def __init__(self, state: ProcessState, line: WaitingLine, clock: Clock) -> None:
        self._state = state
        self._line = line
        self._clock = clock

    def scraped(self, row: int, began_at: float, *, idle: bool) -> None:
        """A scrape is in the table; requests that the engine cannot hold any more are given up."""
        state = self._state
        for decision_id in state.learner.inflight.scraped(row, began_at, idle=idle):
            state.ledger.give_up(decision_id)
        state.health.reachable(row)
        state.engine_room.scraped(row)
        self._line.room_changed()

    def adapters(self, row: int, slots: int, running: Iterable[str], waiting: Iterable[str]) -> None:
        """LoRA slots and adapters of an engine."""
        self._state.knowledge.adapters.scraped(row, slots, running, waiting)

    def cache_size(self, row: int, tokens: float) -> None:
        """Tokens an engine's prefix cache holds."""
        self._state.learner.size_cache(row, tokens)

    def restarted(self, row: int) -> None:
        """A server came back with empty caches."""
        self._state.learner.forget(row)

    def unreachable(self, row: int, seconds: float) -> None:
        """Nobody listens at an endpoint."""
        self._state.health.unreachable(row, self._clock() + seconds)
