"""The candidate table: what one request may go to, in columns."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.domain.decision import Target
from pilotage_extproc.state.endpoints import EndpointTable


@dataclass(slots=True, frozen=True)
class CandidateSet:
    """Candidates of one routing entry, prepared when the snapshot or the endpoints change.

    Column `i` of each array belongs to candidate `i`; endpoints of several pools and models stand
    in one table.
    """

    rows: NDArray[np.int32]
    """Row in the endpoint table."""
    tiers: NDArray[np.int32]
    """Position of the candidate's model in its rule: all of tier 0 is preferred to tier 1."""
    targets: tuple[Target, ...]
    """Endpoint, pool and upstream model, by candidate."""
    tier_count: int
    one_model: bool
    """Whether all candidates have the same upstream model."""

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(slots=True)
class CandidateView:
    """What scorers and filters see: the candidates, the endpoint table, and the time."""

    candidates: CandidateSet
    table: EndpointTable
    subset: frozenset[str] | None
    """Addresses the gateway allows; None is all."""
    now: float
    """Monotonic seconds."""
    scraped_at: NDArray[np.float64]
    """When each candidate's figures were scraped."""
    fresh: NDArray[np.bool_]
    """Whether a candidate's scraped figures may be used."""


def candidate_set(
    entries: list[tuple[int, str, str, str]], table: EndpointTable, tier_count: int
) -> CandidateSet:
    """Build a set from `(tier, address, pool, upstream model)`; addresses without a row are left out."""
    kept = [
        (tier, Target(row, address, pool, model))
        for tier, address, pool, model in entries
        if (row := table.row_of(address)) is not None
    ]
    return CandidateSet(
        rows=np.array([target.row for _, target in kept], np.int32),
        tiers=np.array([tier for tier, _ in kept], np.int32),
        targets=tuple(target for _, target in kept),
        tier_count=tier_count,
        one_model=len({target.upstream_model for _, target in kept}) <= 1,
    )
