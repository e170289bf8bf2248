"""Failures of attempts on their way: to whoever made the decision, and what came of them to all processes."""

from pilotage_extproc.domain.clock import Clock
from pilotage_extproc.domain.failed_attempt import FailedAttempt
from pilotage_extproc.pipeline.attempts import FailedAttempts
from pilotage_extproc.rules.routing_index import CurrentIndex
from pilotage_extproc.scheduling.attempt_judge import AttemptJudge
from pilotage_extproc.server.state import ProcessState
from pilotage_extproc.settlement.news import BreakerNews, EjectionNews, FailureNews
from pilotage_extproc.settlement.peers import Peers
from pilotage_extproc.state.breakers import Breakers, Circuit
from pilotage_extproc.state.health import HealthLedger
from pilotage_extproc.telemetry.metrics import Telemetry


def new_failures(
    process_id: str,
    state: ProcessState,
    current: CurrentIndex,
    peers: Peers,
    telemetry: Telemetry,
    clock: Clock,
) -> "Failures":
    """Of one process."""
    breakers = state.knowledge.breakers

    def is_external(key: str) -> bool:
        """Whether the gateway's own credentials are sent there."""
        pool = current.index.pools.get(key)
        return pool is not None and pool.external is not None

    judge = AttemptJudge(state.table, state.health, breakers, is_external=is_external)
    count = telemetry.failed_attempts.add
    attempts = FailedAttempts(
        state.ledger,
        state.decisions,
        judge,
        state.budget,
        clock,
        count,
        state.accounting.books.attempt_failed,
    )
    return Failures(process_id, peers, attempts, breakers, state.health, clock)


class Failures:
    """Between this process's state and its peers."""

    def __init__(
        self,
        process_id: str,
        peers: Peers,
        attempts: FailedAttempts,
        breakers: Breakers,
        health: HealthLedger,
        clock: Clock,
    ) -> None:
        self._process_id = process_id
        self._peers = peers
        self._attempts = attempts
        self._breakers = breakers
        self._health = health
        self._clock = clock

    def logged(self, attempt: FailedAttempt) -> None:
        """An Envoy's entry of an attempt, whoever decided it. Of a process that is gone nobody learns it."""
        if attempt.owner == self._process_id:
            self._attempts.take(attempt)
        else:
            self._peers.tell_owner(attempt.owner, attempt)

    def heard(self, news: FailureNews) -> None:
        """What a peer tells."""
        if isinstance(news, FailedAttempt):
            if news.owner == self._process_id:
                self._attempts.take(news)
        elif isinstance(news, BreakerNews):
            self._breakers.told(Circuit(news.pool, news.model), news.seconds, self._clock())
        else:
            self._health.told(news.address, news.seconds, self._clock())

    def breaker_changed(self, circuit: Circuit, seconds: float | None) -> None:
        """A breaker has opened or closed here."""
        self._peers.tell(BreakerNews(circuit.pool, circuit.model, seconds))

    def left_alone(self, address: str, seconds: float) -> None:
        """A server is left alone from here on."""
        self._peers.tell(EjectionNews(address, seconds))
