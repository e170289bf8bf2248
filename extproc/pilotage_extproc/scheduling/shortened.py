"""A list of attempts without retries at pools that have had enough of them."""

from dataclasses import replace

from pilotage_extproc.scheduling.candidates import CandidateSet
from pilotage_extproc.scheduling.scheduler import Ranking
from pilotage_extproc.state.retry_budget import RetryBudget


def shortened(
    ranking: Ranking, candidates: CandidateSet, budget: RetryBudget, now: float
) -> tuple[Ranking, list[str]]:
    """The ranking, and the pools (`namespace/name`) whose retries are left out; the first attempt stays."""
    targets = candidates.targets
    first, *later = ranking.order
    pools = sorted({targets[index].pool for index in ranking.order})
    for pool in pools:
        budget.requested(pool)
    spent = [pool for pool in pools if not budget.allows(pool, now)]
    if not spent:
        return ranking, spent
    return replace(
        ranking, order=[first, *(index for index in later if targets[index].pool not in spent)]
    ), spent
