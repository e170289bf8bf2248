"""The candidate table: what one request may go to, in columns."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pilotage_api.snapshot import SaturationSnapshot
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.prompt_blocks import root_of
from pilotage_extproc.scheduling.targets import UNBOUNDED, CandidateGroup, GroupTargets
from pilotage_extproc.state.affinity import AdapterSlots, Sessions
from pilotage_extproc.state.breakers import Breakers
from pilotage_extproc.state.endpoints import EndpointTable
from pilotage_extproc.state.engine_room import EngineRoom
from pilotage_extproc.state.prefix_index import PrefixIndex


@dataclass(slots=True, frozen=True)
class CandidateSet:
    """Candidates of one routing entry, prepared when the snapshot or the endpoints change.

    Column `i` of each array belongs to candidate `i`; endpoints of several pools and models stand
    in one table.
    """

    rows: NDArray[np.intp]
    """Row in the endpoint table."""
    all: NDArray[np.intp]
    """Every candidate's index."""
    tiers: NDArray[np.intp]
    """Position of the candidate's model in its rule: all of tier 0 is preferred to tier 1."""
    targets: "GroupTargets"
    """Endpoint, pool and upstream model, by candidate."""
    tier_count: int
    one_way: bool
    """Whether all candidates are asked alike: in one pool, for one upstream model."""
    models: tuple[tuple[int, NDArray[np.intp]], ...]
    """Roots of the upstream models' prompt blocks, and which candidates have each."""
    adapters: tuple[tuple[str, NDArray[np.intp]], ...]
    """LoRA adapters candidates would be asked for, and which candidates those are."""
    full_queue: NDArray[np.float64] | None
    """Waiting requests at which each candidate is full; None where no pool says."""
    full_cache: NDArray[np.float64] | None
    """Share of KV cache in use at which each candidate is full; None where no pool says."""
    admission: NDArray[np.float64] | None = None
    """Requests that may wait in each one's engine before it has no room; None where no pool says."""
    tier_members: tuple[NDArray[np.intp], ...] = ()
    """Each tier's candidates, where there is more than one tier."""
    rows_repeat: bool = True
    """Whether an endpoint may stand there more than once, under several models."""
    lacking: Mapping[CallKind, NDArray[np.bool_]] = field(default_factory=dict)
    """By call: True where the candidate is a provider whose API has nothing like it. Calls that all have are
    not in it."""

    def __post_init__(self) -> None:
        """Requests share the arrays, and plug-ins see them: nobody may write to them."""
        for array in (self.rows, self.all, self.tiers, self.full_queue, self.full_cache, self.admission):
            if array is not None:
                array.flags.writeable = False
        for _, members in (*self.models, *self.adapters, *self.lacking.items()):
            members.flags.writeable = False

    def __len__(self) -> int:
        return len(self.all)

    @property
    def bounded(self) -> bool:
        """Whether any pool says when its servers are full."""
        return not (self.full_queue is None and self.full_cache is None and self.admission is None)


def group_of(
    addresses: Iterable[str],
    table: EndpointTable,
    *,
    tier: int = 0,
    pool: str,
    upstream_model: str,
    is_adapter: bool = False,
    saturation: SaturationSnapshot = UNBOUNDED,
) -> CandidateGroup:
    """A group; addresses without a row are left out."""
    kept, rows = rows_of(addresses, table)
    return CandidateGroup(tier, pool, upstream_model, kept, rows, is_adapter, saturation)


def renamed(candidates: CandidateSet, model: str, *, adapter: bool) -> CandidateSet:
    """The same candidates, all asked for this model. Costs nothing in proportion to them."""
    return replace(
        candidates,
        targets=candidates.targets.renamed(model, adapter=adapter),
        models=((root_of(model), candidates.all),),
        adapters=((model, candidates.all),) if adapter else (),
    )


def rows_of(addresses: Iterable[str], table: EndpointTable) -> tuple[tuple[str, ...], NDArray[np.intp]]:
    """The addresses that have a row, and their rows."""
    known = table.rows()
    kept = tuple([address for address in addresses if address in known])
    return kept, np.fromiter((known[address] for address in kept), np.intp, len(kept))


@dataclass(slots=True, frozen=True)
class Columns:
    """What candidate sets of the same endpoints share, whatever models they are asked for."""

    rows: NDArray[np.intp]
    all: NDArray[np.intp]
    tiers: NDArray[np.intp]
    members: tuple[NDArray[np.intp], ...]
    """Each group's candidates."""
    full_queue: NDArray[np.float64] | None
    full_cache: NDArray[np.float64] | None
    admission: NDArray[np.float64] | None
    rows_repeat: bool


def columns_of(groups: Sequence[CandidateGroup]) -> Columns:
    """Put the groups' endpoints in columns, group by group."""
    sizes = [len(group.addresses) for group in groups]
    ends = np.cumsum([0, *sizes]).tolist()
    every = np.arange(ends[-1])
    rows = (
        groups[0].rows
        if len(groups) == 1
        else np.concatenate([np.empty(0, np.intp), *(group.rows for group in groups)])
    )
    return Columns(
        rows=rows,
        all=every,
        tiers=np.repeat(np.array([group.tier for group in groups], np.intp), sizes),
        members=tuple([every[begin:end] for begin, end in pairwise(ends)]),
        full_queue=_bounds([group.saturation.queue_depth for group in groups], sizes),
        full_cache=_bounds([group.saturation.kv_cache_utilization for group in groups], sizes),
        admission=_bounds([group.admission for group in groups], sizes),
        rows_repeat=bool(len(rows)) and int(np.bincount(rows).max()) > 1,
    )


def candidate_set(
    groups: Sequence[CandidateGroup], tier_count: int, columns: Columns | None = None
) -> CandidateSet:
    """The candidates of some groups.

    With `columns`, those of groups that differ in no more than their models, it costs nothing in
    proportion to the endpoints unless several groups in part have the same model.
    """
    columns = columns_of(groups) if columns is None else columns
    models: dict[str, list[NDArray[np.intp]]] = {}
    adapters: dict[str, list[NDArray[np.intp]]] = {}
    for group, members in zip(groups, columns.members, strict=True):
        if not len(members):
            continue
        models.setdefault(group.upstream_model, []).append(members)
        if group.is_adapter:
            adapters.setdefault(group.upstream_model, []).append(members)
    every = columns.all
    return CandidateSet(
        rows=columns.rows,
        all=every,
        tiers=columns.tiers,
        targets=GroupTargets(groups),
        tier_count=tier_count,
        one_way=len({(group.pool, group.upstream_model) for group in groups if group.addresses}) <= 1,
        models=tuple([(root_of(name), _joined(found, every)) for name, found in models.items()]),
        adapters=tuple([(name, _joined(found, every)) for name, found in adapters.items()]),
        full_queue=columns.full_queue,
        full_cache=columns.full_cache,
        admission=columns.admission,
        rows_repeat=columns.rows_repeat,
        tier_members=tuple(np.flatnonzero(columns.tiers == tier) for tier in range(tier_count))
        if tier_count > 1
        else (),
    )


def _joined(found: list[NDArray[np.intp]], every: NDArray[np.intp]) -> NDArray[np.intp]:
    if len(found) == 1:
        return found[0]
    return every if sum(map(len, found)) == len(every) else np.concatenate(found)


def _bounds(values: Sequence[float | None], sizes: Sequence[int]) -> NDArray[np.float64] | None:
    if all(value is None for value in values):
        return None
    return np.repeat(np.array([np.inf if value is None else value for value in values]), sizes)


@dataclass(slots=True)
class Knowledge:
    """What is known beside the endpoint table: who holds which prefixes, adapters and sessions, and whom to
    stay away from."""

    prefixes: PrefixIndex
    adapters: AdapterSlots
    sessions: Sessions
    breakers: Breakers = field(default_factory=Breakers)
    room: EngineRoom | None = None
    """None never bounds."""
