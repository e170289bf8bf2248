"""What scraped pages tell beside the table's figures, passed to those who keep it."""

from collections.abc import Iterable

from pilotage_extproc.domain.clock import Clock
from pilotage_extproc.scheduling.candidates import Knowledge
from pilotage_extproc.scheduling.feedback import Learner
from pilotage_extproc.state.health import HealthLedger


class EngineFeedback:
    """The scraper's sink."""

    def __init__(self, learner: Learner, knowledge: Knowledge, health: HealthLedger, clock: Clock) -> None:
        self._learner = learner
        self._knowledge = knowledge
        self._health = health
        self._clock = clock

    def scraped(self, row: int, began_at: float, *, idle: bool) -> None:
        """A scrape is in the table."""
        self._learner.ledger.scraped(row, began_at, idle=idle)
        self._health.reachable(row)

    def adapters(self, row: int, slots: int, running: Iterable[str], waiting: Iterable[str]) -> None:
        """LoRA slots and adapters of an engine."""
        self._knowledge.adapters.scraped(row, slots, running, waiting)

    def cache_size(self, row: int, tokens: float) -> None:
        """Tokens an engine's prefix cache holds."""
        self._learner.size_cache(row, tokens)

    def restarted(self, row: int) -> None:
        """A server came back with empty caches."""
        self._learner.forget(row)

    def unreachable(self, row: int, seconds: float) -> None:
        """Nobody listens at an endpoint."""
        self._health.unreachable(row, self._clock() + seconds)
