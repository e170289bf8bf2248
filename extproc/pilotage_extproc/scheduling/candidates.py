"""The candidate table: what one request may go to, in columns."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pilotage_api.snapshot import SaturationSnapshot
from pilotage_extproc.domain.features import RequestFeatures
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.prompt_blocks import root_of
from pilotage_extproc.domain.reach import Reach
from pilotage_extproc.scheduling.targets import UNBOUNDED, CandidateGroup, GroupTargets
from pilotage_extproc.state.affinity import AdapterSlots, Sessions
from pilotage_extproc.state.breakers import Breakers
from pilotage_extproc.state.endpoints import (
    EJECTED_UNTIL,
    INFLIGHT,
    KV_USAGE,
    RUNNING,
    SCRAPED_AT,
    TOKENS,
    UNSEEN,
    WAITING,
    EndpointTable,
)
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
        return len(self.targets)


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


def columns_of(groups: Sequence[CandidateGroup]) -> Columns:
    """Put the groups' endpoints in columns, group by group."""
    sizes = [len(group.addresses) for group in groups]
    ends = np.cumsum([0, *sizes]).tolist()
    every = np.arange(ends[-1])
    return Columns(
        rows=groups[0].rows
        if len(groups) == 1
        else np.concatenate([np.empty(0, np.intp), *(group.rows for group in groups)]),
        all=every,
        tiers=np.repeat(np.array([group.tier for group in groups], np.intp), sizes),
        members=tuple([every[begin:end] for begin, end in pairwise(ends)]),
        full_queue=_bounds([group.saturation.queue_depth for group in groups], sizes),
        full_cache=_bounds([group.saturation.kv_cache_utilization for group in groups], sizes),
        admission=_bounds([group.admission for group in groups], sizes),
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


class CandidateView:
    """What scorers and filters see: the candidates' figures in columns, the request, and the time.

    Steps share the columns, and must not change them; plug-ins get a `PluginView` instead.
    """

    __slots__ = (
        "_cached_bytes",
        "_figures",
        "call",
        "candidates",
        "knowledge",
        "kv_unknown",
        "now",
        "reach",
        "request",
        "subset",
        "table",
    )

    def __init__(
        self,
        candidates: CandidateSet,
        table: EndpointTable,
        knowledge: Knowledge,
        request: RequestFeatures,
        subset: frozenset[str] | None,
        now: float,
        reach: Reach = Reach.SERVERS,
        call: CallKind = CallKind.OTHER,
    ) -> None:
        """`subset` is what the gateway allows (`domain.subset`), None is all; `now` is monotonic seconds."""
        self.candidates = candidates
        self.table = table
        self.knowledge = knowledge
        self.request = request
        self.subset = subset
        self.now = now
        self.reach = reach
        self.call = call
        self._figures: NDArray[np.float64] = table.figures.take(candidates.rows, axis=1)
        self.kv_unknown: NDArray[np.bool_] | None = None
        """Which candidates do not say their KV-cache use; None where all do."""
        if table.kv_unknown:
            self._assume_kv_usage()
        if table.unmeasured:
            self._assume()
        self._cached_bytes: NDArray[np.float64] | None = None

    def _assume_kv_usage(self) -> None:
        """Take a KV-cache use that an engine does not say for the worst that is known, never for none."""
        usage = self._figures[KV_USAGE]
        unknown = np.isnan(usage)
        if unknown.any():
            usage[unknown] = np.fmax.reduce(usage, initial=0.0)
            self.kv_unknown = unknown

    def _assume(self) -> None:
        """Take what is not known of an engine for the mean of the others, and never for the best.

        An endpoint that stops answering would else look idle and draw every request. Own requests in
        flight are known all the same: they count where they are more than that mean.
        """
        figures = self._figures
        known = figures[SCRAPED_AT] > -np.inf
        if known.all() or not known.any():
            return
        unknown = ~known
        for index in (WAITING, RUNNING, KV_USAGE):
            figures[index][unknown] = figures[index][known].mean()
        figures[UNSEEN][unknown] = np.maximum(0.0, figures[INFLIGHT][unknown] - figures[RUNNING][unknown])

    @property
    def waiting(self) -> NDArray[np.float64]:
        """Requests queued in the engine; 0 where that is unknown or too old, as in all that was scraped."""
        column: NDArray[np.float64] = self._figures[WAITING]
        return column

    @property
    def running(self) -> NDArray[np.float64]:
        """Requests the engine answers."""
        column: NDArray[np.float64] = self._figures[RUNNING]
        return column

    @property
    def kv_usage(self) -> NDArray[np.float64]:
        """Share of the KV cache in use, 0 to 1; the worst known where an engine does not say."""
        column: NDArray[np.float64] = self._figures[KV_USAGE]
        return column

    @property
    def inflight(self) -> NDArray[np.float64]:
        """Own requests at the endpoint."""
        column: NDArray[np.float64] = self._figures[INFLIGHT]
        return column

    @property
    def unseen(self) -> NDArray[np.float64]:
        """Own requests that began after the last scrape."""
        column: NDArray[np.float64] = self._figures[UNSEEN]
        return column

    @property
    def tokens(self) -> NDArray[np.float64]:
        """Prompt tokens of own requests that were not expected in the endpoint's cache."""
        column: NDArray[np.float64] = self._figures[TOKENS]
        return column

    @property
    def scraped_at(self) -> NDArray[np.float64]:
        """When the scraped figures were scraped, monotonic seconds; -inf is never."""
        column: NDArray[np.float64] = self._figures[SCRAPED_AT]
        return column

    @property
    def ejected_until(self) -> NDArray[np.float64]:
        """Left out until then for failing, monotonic seconds; 0 is not."""
        column: NDArray[np.float64] = self._figures[EJECTED_UNTIL]
        return column

    def __len__(self) -> int:
        return len(self.candidates)

    @property
    def cached_bytes(self) -> NDArray[np.float64]:
        """Bytes of the request's prompt each candidate probably holds in its prefix cache."""
        cached = self._cached_bytes
        if cached is None:
            cached = self._cached_bytes = self._cached()
        return cached

    def _cached(self) -> NDArray[np.float64]:
        candidates, prompt = self.candidates, self.request.prompt
        cached = np.zeros(len(candidates))
        if prompt is None or not prompt.hashes:
            return cached
        prefixes, rows = self.knowledge.prefixes, candidates.rows
        for root, members in candidates.models:
            held = prefixes.cached_bytes(prompt.of_model(root), self.table.capacity)
            if held is None:
                continue
            if members is candidates.all:
                return held.take(rows)
            cached[members] = held[rows[members]]
        return cached
