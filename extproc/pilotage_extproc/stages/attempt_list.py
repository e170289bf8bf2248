"""A ranking as it is tried: no server alone without need, and no retries that a pool has had enough of."""

from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.scheduling.last_resort import with_last_resort
from pilotage_extproc.scheduling.scheduler import Ranking
from pilotage_extproc.scheduling.shortened import shortened
from pilotage_extproc.state.endpoints import EndpointTable
from pilotage_extproc.state.retry_budget import RetryBudget


class AttemptList:
    """Makes them of one process's rankings, which are not empty."""

    def __init__(self, table: EndpointTable, budget: RetryBudget, max_attempts: int) -> None:
        self.most = max_attempts
        """How many attempts a ranking is asked for."""
        self._table = table
        self._budget = budget

    def of(self, exchange: Exchange, ranking: Ranking, now: float) -> Ranking:
        """The ranking as it is tried; the request keeps which pools' retries were left out."""
        candidates = exchange.route.candidates
        if ranking.dropped and self.most > 1:
            ranking = with_last_resort(ranking, candidates, self._table)
        if self._budget.troubled:
            ranking, spent = shortened(ranking, candidates, self._budget, now)
            exchange.unretried(spent)
        return ranking
