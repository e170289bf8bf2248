"""The candidate table: what one request may go to, in columns."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.state.endpoints import EndpointTable


@dataclass(slots=True, frozen=True)
class Offer:
    """What a candidate is besides its endpoint: this pool's way to serve a model."""

    pool: str
    """`namespace/name`."""
    upstream_model: str


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
    offers: tuple[Offer, ...]
    """Pool and model, by candidate."""
    addresses: tuple[str, ...]
    """Envoy address, by candidate."""
    tier_count: int

    def __len__(self) -> int:
        return len(self.addresses)


@dataclass(slots=True, frozen=True)
class CandidateView:
    """What scorers and filters see: the candidates, the endpoint table, and the time."""

    candidates: CandidateSet
    table: EndpointTable
    subset: frozenset[str] | None
    """Addresses the gateway allows; None is all."""
    now: float
    """Monotonic seconds."""
    stale_before: float
    """Figures scraped before this are not used."""
    fresh: NDArray[np.bool_]
    """Whether a candidate's scraped figures may be used."""


def candidate_set(
    entries: list[tuple[int, str, str, str]], table: EndpointTable, tier_count: int
) -> CandidateSet:
    """Build a set from `(tier, address, pool, upstream model)`; addresses without a row are left out."""
    known = [(table.row_of(address), *entry) for entry in entries for address in (entry[1],)]
    kept = [entry for entry in known if entry[0] is not None]
    return CandidateSet(
        rows=np.array([entry[0] for entry in kept], np.int32),
        tiers=np.array([entry[1] for entry in kept], np.int32),
        offers=tuple(Offer(entry[3], entry[4]) for entry in kept),
        addresses=tuple(entry[2] for entry in kept),
        tier_count=tier_count,
    )
