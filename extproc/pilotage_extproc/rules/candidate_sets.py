"""Candidate sets by what they are made of, kept from one index to the next."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pilotage_api.external_snapshot import ProviderDialect
from pilotage_api.snapshot import (
    Binding,
    NameKind,
    PoolSnapshot,
    SaturationSnapshot,
)
from pilotage_extproc.dialects.table import INFERENCE_KINDS
from pilotage_extproc.dialects.translation.translator import TAKEN
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.scheduling.candidates import (
    CandidateSet,
    Columns,
    candidate_set,
    columns_of,
    rows_of,
)
from pilotage_extproc.scheduling.targets import UNBOUNDED, CandidateGroup
from pilotage_extproc.state.endpoints import EndpointTable

Tiers = tuple[tuple[Binding, ...], ...]
"""The ways to serve each tier of a rule."""


class CandidateSets:
    """Candidate sets by what they are made of, kept from one index to the next.

    When an endpoint of one pool comes or goes, only the sets with that pool are made anew. Holds for one
    endpoint table, whose addresses keep their rows as long as they stay in their pool.
    """

    def __init__(self) -> None:
        self._columns: dict[str, _Column] = {}
        self._sets: dict[Tiers, tuple[tuple[object, ...], CandidateSet]] = {}
        self._used: set[Tiers] = set()
        self._shared: dict[tuple[tuple[int, str], ...], Columns] = {}
        """By tiers and pools, for the index being built: a pool's adapters differ in their names alone."""

    def begin(self, membership: Mapping[str, Iterable[str]], table: EndpointTable) -> None:
        """An index is built for these addresses of each pool."""
        columns = {}
        for pool, found in membership.items():
            addresses = tuple(found)
            known = self._columns.get(pool)
            if known is None or known.asked != addresses:
                known = _Column(addresses, *rows_of(addresses, table))
            columns[pool] = known
        self._columns = columns
        self._used = set()
        self._shared = {}

    def end(self) -> None:
        """The index is built: forget what it does not use."""
        self._sets = {tiers: found for tiers, found in self._sets.items() if tiers in self._used}
        self._shared = {}

    def of(self, tiers: Tiers, pools: Mapping[str, PoolSnapshot]) -> CandidateSet:
        """The candidates of some tiers of bindings."""
        self._used.add(tiers)
        bindings = [(tier, binding) for tier, found in enumerate(tiers) for binding in found]
        parts: list[object] = []
        for _, binding in bindings:
            pool = pools.get(binding.pool)
            parts += (self._columns.get(binding.pool), _saturation(pool), _dialect(pool), _admission(pool))
        made_of = tuple(parts)
        known = self._sets.get(tiers)
        if known is not None and all(a is b or a == b for a, b in zip(known[0], made_of, strict=True)):
            return known[1]
        groups = [
            CandidateGroup(
                tier,
                binding.pool,
                binding.upstream_model,
                column.addresses,
                column.rows,
                binding.kind is NameKind.ADAPTER,
                _saturation(pools.get(binding.pool)),
                _admission(pools.get(binding.pool)),
            )
            for tier, binding in bindings
            if (column := self._columns.get(binding.pool)) is not None
        ]
        shape = tuple([(group.tier, group.pool) for group in groups])
        columns = self._shared.get(shape)
        if columns is None:
            columns = self._shared[shape] = columns_of(groups)
        made = candidate_set(groups, len(tiers), columns)
        lacking = _lacking(groups, pools)
        if lacking:
            made = replace(made, lacking=lacking)
        self._sets[tiers] = (made_of, made)
        return made

    def addresses(self, pool: str) -> tuple[str, ...]:
        """Those of a pool that have a row."""
        column = self._columns.get(pool)
        return () if column is None else column.addresses


@dataclass(slots=True, frozen=True, eq=False)
class _Column:
    """A pool's endpoints; compared by identity."""

    asked: tuple[str, ...]
    addresses: tuple[str, ...]
    rows: NDArray[np.intp]


def _dialect(pool: PoolSnapshot | None) -> ProviderDialect | None:
    """The API of a provider; None for servers of one's own."""
    return None if pool is None or pool.external is None else pool.external.dialect


def _lacking(
    groups: Iterable[CandidateGroup], pools: Mapping[str, PoolSnapshot]
) -> dict[CallKind, NDArray[np.bool_]]:
    """By call: which candidates are of providers that cannot be asked it."""
    sizes = [(_dialect(pools.get(group.pool)), len(group.addresses)) for group in groups]
    if all(dialect is None for dialect, _ in sizes):
        return {}
    found = {}
    for kind in INFERENCE_KINDS:
        lacks = np.concatenate(
            [np.full(size, dialect is not None and kind not in TAKEN[dialect]) for dialect, size in sizes]
        )
        if lacks.any():
            found[kind] = lacks
    return found


def _admission(pool: PoolSnapshot | None) -> int | None:
    return None if pool is None else pool.admission_queue_depth


def _saturation(pool: PoolSnapshot | None) -> SaturationSnapshot:
    return UNBOUNDED if pool is None else pool.saturation
