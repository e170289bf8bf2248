"""The filters that always apply: what the gateway allows, what it can reach, what works and has room."""

import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.domain.subset import any_port_of
from pilotage_extproc.scheduling.candidate_view import CandidateView
from pilotage_extproc.scheduling.candidates import CandidateSet
from pilotage_extproc.state.endpoints import EndpointTable


def all_stay(view: CandidateView) -> bool:
    """Whether none of these filters can drop anybody, as for most requests: told without asking each."""
    table, candidates = view.table, view.candidates
    return not (
        view.subset is not None
        or table.pending
        or table.draining_rows
        or table.hosted_rows
        or table.ejections
        or view.knowledge.breakers.open_count
        or candidates.lacking
        or candidates.bounded
    )


class Admitted:
    """Drops endpoints that Envoy does not know yet: a pick of one would be answered 503."""

    reason = "not yet known to the gateway"
    soft = False

    def keep(self, view: CandidateView) -> NDArray[np.bool_] | None:
        """True where the endpoint may be picked."""
        table = view.table
        return table.admitted[view.candidates.rows] if table.pending else None


class Available:
    """Drops endpoints that are terminating or not ready, from the moment that is known."""

    reason = "terminating or not ready"
    soft = False

    def keep(self, view: CandidateView) -> NDArray[np.bool_] | None:
        """True where new requests are welcome."""
        table = view.table
        return ~table.draining[view.candidates.rows] if table.draining_rows else None


class Reachable:
    """Drops hosted providers that the gateway that asks cannot send requests to."""

    reason = "not reachable by the gateway that asks"
    soft = False

    def keep(self, view: CandidateView) -> NDArray[np.bool_] | None:
        """True where the gateway can send requests to."""
        table = view.table
        if not table.hosted_rows:
            return None
        keep: NDArray[np.bool_] = table.needs[view.candidates.rows] <= view.reach
        return keep


class HasCall:
    """Drops hosted providers whose API has nothing like the call, not by translation either."""

    reason = "a provider that has no such call"
    soft = False

    def keep(self, view: CandidateView) -> NDArray[np.bool_] | None:
        """True where the candidate has the call."""
        lacking = view.candidates.lacking
        lacks = lacking.get(view.call) if lacking else None
        return None if lacks is None else ~lacks


class InSubset:
    """Drops endpoints outside the gateway's subset hint: port included, where it names one."""

    reason = "outside the gateway's subset"
    soft = False

    def keep(self, view: CandidateView) -> NDArray[np.bool_] | None:
        """True where the hint names the address."""
        subset, table = view.subset, view.table
        if subset is None:
            return None
        named = np.zeros(table.capacity, np.bool_)
        for entry in subset:
            row, host = table.row_of(entry), any_port_of(entry)
            if row is not None:
                named[row] = True
            elif host is not None:
                named[list(table.rows_at(host))] = True
        return named[view.candidates.rows]


class Healthy:
    """Drops endpoints that fail again and again, or where nobody listens; never all of a model's.

    Where more than half would be ejected, those that fail are kept and only those where nobody listens
    are dropped: the few that are left could not carry the load of all.
    """

    reason = "failing or unreachable"
    soft = True

    def keep(self, view: CandidateView) -> NDArray[np.bool_] | None:
        """True where the endpoint is not ejected now."""
        table = view.table
        if not table.ejections:
            return None
        keep: NDArray[np.bool_] = view.ejected_until <= view.now
        if 2 * np.count_nonzero(keep) < len(keep):
            return ~table.unreachable[view.candidates.rows]
        return keep


class Closed:
    """Drops candidates that an open circuit breaker keeps requests from; never all of a model's."""

    reason = "circuit breaker open"
    soft = True

    def keep(self, view: CandidateView) -> NDArray[np.bool_] | None:
        """True where no breaker is open."""
        blocked = view.knowledge.breakers.blocked(view.now)
        return ~view.candidates.targets.among(blocked) if blocked else None


class NotSaturated:
    """Drops endpoints that are full as their pool defines it; never all of a model's."""

    reason = "saturated"
    soft = True

    def keep(self, view: CandidateView) -> NDArray[np.bool_] | None:
        """True where there is room."""
        candidates = view.candidates
        keep: NDArray[np.bool_] | None = None
        if candidates.full_queue is not None:
            keep = view.waiting < candidates.full_queue
        if candidates.full_cache is not None:
            room = view.kv_usage < candidates.full_cache
            if view.kv_unknown is not None:
                room |= view.kv_unknown  # as bad as the worst, but nobody says that it is full
            keep = room if keep is None else keep & room
        engines = view.knowledge.room
        if candidates.admission is not None and engines is not None:
            room = engines.free(candidates.rows, candidates.admission) >= 1
            keep = room if keep is None else keep & room
        return keep


def all_full(candidates: CandidateSet, table: EndpointTable) -> bool:
    """Whether every candidate is full as its pool defines it."""
    full = np.zeros(len(candidates), np.bool_)
    if candidates.full_queue is not None:
        full |= table.waiting[candidates.rows] >= candidates.full_queue
    if candidates.full_cache is not None:
        full |= table.kv_usage[candidates.rows] >= candidates.full_cache
    return bool(full.all())


def at_work(view: CandidateView) -> NDArray[np.bool_] | None:
    """True where an endpoint is not ejected and no breaker is open; None where that is all of them."""
    works = view.ejected_until <= view.now if view.table.ejections else None
    closed = Closed().keep(view)
    if works is None or closed is None:
        return closed if works is None else works
    both: NDArray[np.bool_] = works & closed
    return both
