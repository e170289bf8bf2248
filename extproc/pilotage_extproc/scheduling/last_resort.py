"""A second attempt for a request that has one server to go to.

Full and failing servers are left out while another of their model has room and works. Where that other is
one alone, and breaks off, a server that is full or has failed before is better than none.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from pilotage_extproc.scheduling.candidates import CandidateSet
from pilotage_extproc.scheduling.filters import Healthy, NotSaturated
from pilotage_extproc.scheduling.scheduler import Ranking
from pilotage_extproc.state.endpoints import EndpointTable

_REASONS: Final = (NotSaturated.reason, Healthy.reason)


def with_last_resort(ranking: Ranking, candidates: CandidateSet, table: EndpointTable) -> Ranking:
    """The ranking; one attempt alone is followed by the best of its pool and model that was left out.

    First come those that are full, then those that fail, then those where nobody listens: they may be back
    before the first breaks off.
    """
    if len(ranking.order) != 1 or ranking.dropped.keys().isdisjoint(_REASONS):
        return ranking
    at = _left_out(ranking, candidates, table)
    return ranking if at is None else replace(ranking, order=[*ranking.order, at])


def _left_out(ranking: Ranking, candidates: CandidateSet, table: EndpointTable) -> int | None:
    first, rows, targets = ranking.order[0], candidates.rows, candidates.targets
    may = (candidates.tiers == candidates.tiers[first]) & (rows != rows[first])
    for reason, mask in ranking.dropped.items():
        if reason not in _REASONS:
            may &= ~mask
    failing = ranking.dropped.get(Healthy.reason, np.zeros(len(may), np.bool_))
    silent = table.unreachable[rows]
    way = targets[first].pool, targets[first].upstream_model
    for choice in (may & ~failing, may & failing & ~silent, may & silent):
        members = choice.nonzero()[0]
        for index in members[ranking.total[members].argsort()[::-1]].tolist():
            if (targets[index].pool, targets[index].upstream_model) == way:
                return int(index)
    return None
