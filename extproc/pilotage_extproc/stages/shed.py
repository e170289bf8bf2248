"""Requests of low priority refused while every server of their pool is full."""

from typing import Final

from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.stage import Step
from pilotage_extproc.scheduling.scheduler import Scheduler
from pilotage_extproc.state.objectives import Objectives

_RETRY_SECONDS: Final = 1


class Shed(Step):
    """Refuses a request whose InferenceObjective has a priority below 0 where there is no room."""

    name = "shed"

    def __init__(self, objectives: Objectives, scheduler: Scheduler) -> None:
        self._objectives = objectives
        self._scheduler = scheduler

    def apply(self, exchange: Exchange) -> None:
        """Let it pass. Raises RequestRefused (429)."""
        objective, pool = exchange.head.objective, exchange.head.pool
        if not objective or pool is None or self._objectives.priority(pool, objective) >= 0:
            return
        if self._scheduler.full(exchange.route.candidates):
            message = f"All model servers are full, and {objective[:100]!r} may be shed."
            raise RequestRefused(Refusal.SATURATED, message, retry_after_seconds=_RETRY_SECONDS)
