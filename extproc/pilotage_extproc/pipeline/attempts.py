"""Attempts that failed: what they teach, and where they are kept. They settle no request."""

from collections.abc import Callable

from pilotage_extproc.domain.clock import Clock
from pilotage_extproc.domain.decision import Target
from pilotage_extproc.domain.failed_attempt import FailedAttempt
from pilotage_extproc.recording.decision_log import DecisionLog
from pilotage_extproc.recording.record import DecisionRecord
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.ledger import Ledger
from pilotage_extproc.request.limits import leads_on
from pilotage_extproc.scheduling.attempt_judge import AttemptJudge
from pilotage_extproc.state.retry_budget import RetryBudget


class FailedAttempts:
    """Takes the failed attempts of this process's decisions."""

    def __init__(
        self,
        ledger: Ledger,
        decisions: DecisionLog[DecisionRecord],
        judge: AttemptJudge,
        budget: RetryBudget,
        clock: Clock,
        count: Callable[[str, str], None],
        charge: Callable[[FailedAttempt], None] = lambda _: None,
    ) -> None:
        """`count` is told the pool and the reason of each; `charge` books what it may cost."""
        self._book = charge
        self._ledger = ledger
        self._decisions = decisions
        self._judge = judge
        self._budget = budget
        self._clock = clock
        self._count = count

    def take(self, attempt: FailedAttempt) -> None:
        """One attempt has failed. Its entry may come before its request is settled, or just after."""
        self._book(attempt)
        record = self._decisions.find(attempt.decision_id)
        if record is not None:
            record.attempt_failed(attempt)
        exchange = self._ledger.find(attempt.decision_id)
        targets = exchange.decision.targets if exchange is not None else record.targets() if record else ()
        position = next((at for at, one in enumerate(targets) if one.address == attempt.address), None)
        if position is None:
            return
        target, now = targets[position], self._clock()
        self._count(target.pool, attempt.reason or "other")
        if exchange is None:
            self._judge.failed_settled(target, attempt, now)
        elif attempt.reason is not None:
            if self._judge.failed(target, attempt, now):
                exchange.attempt_failed(target.address)
            self._charge(exchange, attempt, targets[position + 1 :], now)

    def _charge(
        self, exchange: Exchange, attempt: FailedAttempt, following: tuple[Target, ...], now: float
    ) -> None:
        if following and attempt.reason is not None and leads_on(exchange.limits, attempt.reason):
            self._budget.retried(following[0].pool, now)
