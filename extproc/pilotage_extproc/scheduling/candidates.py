"""The candidate table: what one request may go to, in columns."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Final, overload

import numpy as np
from numpy.typing import NDArray

from pilotage_api.snapshot import SaturationSnapshot
from pilotage_extproc.domain.decision import Target
from pilotage_extproc.domain.features import RequestFeatures
from pilotage_extproc.domain.prompt import root_of
from pilotage_extproc.state.affinity import AdapterSlots, Sessions
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
from pilotage_extproc.state.prefix_index import PrefixIndex

UNBOUNDED: Final = SaturationSnapshot()


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
    targets: Sequence[Target]
    """Endpoint, pool and upstream model, by candidate."""
    tier_count: int
    one_model: bool
    """Whether all candidates have the same upstream model."""
    models: tuple[tuple[int, NDArray[np.intp]], ...]
    """Roots of the upstream models' prompt blocks, and which candidates have each."""
    adapters: tuple[tuple[str, NDArray[np.intp]], ...]
    """LoRA adapters candidates would be asked for, and which candidates those are."""
    full_queue: NDArray[np.float64] | None
    """Waiting requests at which each candidate is full; None where no pool says."""
    full_cache: NDArray[np.float64] | None
    """Share of KV cache in use at which each candidate is full; None where no pool says."""

    def __post_init__(self) -> None:
        """Requests share the arrays, and plug-ins see them: nobody may write to them."""
        for array in (self.rows, self.all, self.tiers, self.full_queue, self.full_cache):
            if array is not None:
                array.flags.writeable = False
        for _, members in (*self.models, *self.adapters):
            members.flags.writeable = False

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(slots=True, frozen=True)
class CandidateGroup:
    """One pool's endpoints under one upstream model, before they stand in columns."""

    tier: int
    pool: str
    upstream_model: str
    addresses: tuple[str, ...]
    rows: NDArray[np.intp]
    """Of the addresses, in the endpoint table."""
    is_adapter: bool = False
    saturation: SaturationSnapshot = UNBOUNDED


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


class OneModel(Sequence[Target]):
    """A pool's targets under a model name that only the request knows; made as they are asked for."""

    def __init__(self, targets: Sequence[Target], model: str, *, adapter: bool) -> None:
        self._targets = targets
        self._model = model
        self._adapter = adapter

    def __len__(self) -> int:
        return len(self._targets)

    @overload
    def __getitem__(self, index: int) -> Target: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Target]: ...
    def __getitem__(self, index: int | slice) -> Target | Sequence[Target]:
        if isinstance(index, slice):
            return OneModel(self._targets[index], self._model, adapter=self._adapter)
        target = self._targets[index]
        return Target(target.row, target.address, target.pool, self._model, self._adapter)


def renamed(candidates: CandidateSet, model: str, *, adapter: bool) -> CandidateSet:
    """The same candidates, all asked for this model. Costs nothing in proportion to them."""
    return replace(
        candidates,
        targets=OneModel(candidates.targets, model, adapter=adapter),
        models=((root_of(model), candidates.all),),
        adapters=((model, candidates.all),) if adapter else (),
    )


def all_full(candidates: CandidateSet, table: EndpointTable) -> bool:
    """Whether every candidate is full as its pool defines it."""
    full = np.zeros(len(candidates), np.bool_)
    if candidates.full_queue is not None:
        full |= table.waiting[candidates.rows] >= candidates.full_queue
    if candidates.full_cache is not None:
        full |= table.kv_usage[candidates.rows] >= candidates.full_cache
    return bool(full.all())


def rows_of(addresses: Iterable[str], table: EndpointTable) -> tuple[tuple[str, ...], NDArray[np.intp]]:
    """The addresses that have a row, and their rows."""
    known = table.rows()
    kept = tuple([address for address in addresses if address in known])
    return kept, np.fromiter((known[address] for address in kept), np.intp, len(kept))


def candidate_set(groups: Sequence[CandidateGroup], tier_count: int) -> CandidateSet:
    """Put candidates in columns, group by group."""
    sizes = [len(group.addresses) for group in groups]
    ends = np.cumsum([0, *sizes]).tolist()
    every = np.arange(ends[-1])
    models: dict[str, list[NDArray[np.intp]]] = {}
    adapters: dict[str, list[NDArray[np.intp]]] = {}
    targets: list[Target] = []
    for group, begin, end in zip(groups, ends, ends[1:], strict=False):
        if begin == end:
            continue
        members = every[begin:end]
        models.setdefault(group.upstream_model, []).append(members)
        if group.is_adapter:
            adapters.setdefault(group.upstream_model, []).append(members)
        targets += map(
            Target,
            group.rows.tolist(),
            group.addresses,
            repeat(group.pool),
            repeat(group.upstream_model),
            repeat(group.is_adapter),
        )
    return CandidateSet(
        rows=np.concatenate([np.empty(0, np.intp), *(group.rows for group in groups)]),
        all=every,
        tiers=np.repeat(np.array([group.tier for group in groups], np.intp), sizes),
        targets=tuple(targets),
        tier_count=tier_count,
        one_model=len(models) <= 1,
        models=tuple((root_of(name), np.concatenate(found)) for name, found in models.items()),
        adapters=tuple((name, np.concatenate(found)) for name, found in adapters.items()),
        full_queue=_bounds([group.saturation.queue_depth for group in groups], sizes),
        full_cache=_bounds([group.saturation.kv_cache_utilization for group in groups], sizes),
    )


def _bounds(values: Sequence[float | None], sizes: Sequence[int]) -> NDArray[np.float64] | None:
    if all(value is None for value in values):
        return None
    return np.repeat(np.array([np.inf if value is None else value for value in values]), sizes)


@dataclass(slots=True)
class Knowledge:
    """What is known beside the endpoint table: who holds which prefixes, adapters and sessions."""

    prefixes: PrefixIndex
    adapters: AdapterSlots
    sessions: Sessions


class CandidateView:
    """What scorers and filters see: the candidates' figures in columns, the request, and the time.

    Steps share the columns, and must not change them; plug-ins get a `PluginView` instead.
    """

    __slots__ = ("_cached_bytes", "_figures", "candidates", "knowledge", "now", "request", "subset", "table")

    def __init__(
        self,
        candidates: CandidateSet,
        table: EndpointTable,
        knowledge: Knowledge,
        request: RequestFeatures,
        subset: frozenset[str] | None,
        now: float,
    ) -> None:
        """`subset` are the addresses the gateway allows, None is all; `now` is monotonic seconds."""
        self.candidates = candidates
        self.table = table
        self.knowledge = knowledge
        self.request = request
        self.subset = subset
        self.now = now
        self._figures: NDArray[np.float64] = table.figures.take(candidates.rows, axis=1)
        if table.unmeasured:
            self._assume()
        self._cached_bytes: NDArray[np.float64] | None = None

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

    def _figure(self, index: int) -> NDArray[np.float64]:
        column: NDArray[np.float64] = self._figures[index]
        return column

    @property
    def waiting(self) -> NDArray[np.float64]:
        """Requests queued in the engine; 0 where that is unknown or too old, as in all that was scraped."""
        return self._figure(WAITING)

    @property
    def running(self) -> NDArray[np.float64]:
        """Requests the engine answers."""
        return self._figure(RUNNING)

    @property
    def kv_usage(self) -> NDArray[np.float64]:
        """Share of the KV cache in use, 0 to 1."""
        return self._figure(KV_USAGE)

    @property
    def inflight(self) -> NDArray[np.float64]:
        """Own requests at the endpoint."""
        return self._figure(INFLIGHT)

    @property
    def unseen(self) -> NDArray[np.float64]:
        """Own requests that began after the last scrape."""
        return self._figure(UNSEEN)

    @property
    def tokens(self) -> NDArray[np.float64]:
        """Prompt tokens of own requests that were not expected in the endpoint's cache."""
        return self._figure(TOKENS)

    @property
    def scraped_at(self) -> NDArray[np.float64]:
        """When the scraped figures were scraped, monotonic seconds; -inf is never."""
        return self._figure(SCRAPED_AT)

    @property
    def ejected_until(self) -> NDArray[np.float64]:
        """Left out until then for failing, monotonic seconds; 0 is not."""
        return self._figure(EJECTED_UNTIL)

    def __len__(self) -> int:
        return len(self.candidates)

    @property
    def cached_bytes(self) -> NDArray[np.float64]:
        """Bytes of the request's prompt each candidate probably holds in its prefix cache."""
        cached = self._cached_bytes
        if cached is None:
            cached = np.zeros(len(self.candidates))
            prompt = self.request.prompt
            if prompt is not None and prompt.hashes:
                prefixes, rows = self.knowledge.prefixes, self.candidates.rows
                for root, members in self.candidates.models:
                    held = prefixes.cached_bytes(prompt.of_model(root), self.table.capacity)
                    if held is not None:
                        cached[members] = held[rows[members]]
            self._cached_bytes = cached
        return cached
