"""The routing index: from a model name, path and headers to candidates, without searching policies.

Built off the request path whenever the snapshot or the endpoints change, and swapped in one step.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pilotage_api.calls import is_under
from pilotage_api.snapshot import (
    Binding,
    HeaderMatch,
    NameKind,
    PathMatch,
    PolicyRoute,
    PoolSnapshot,
    ProfileSnapshot,
    RoutingSnapshot,
    SaturationSnapshot,
)
from pilotage_extproc.scheduling.candidates import (
    UNBOUNDED,
    CandidateGroup,
    CandidateSet,
    Columns,
    candidate_set,
    columns_of,
    renamed,
    rows_of,
)
from pilotage_extproc.scheduling.profile import Profile, ProfileBook
from pilotage_extproc.state.endpoints import EndpointTable
from pilotage_kube.turns import Turns

_MAX_FIXED: Final = 1024


@dataclass(slots=True, frozen=True)
class Route:
    """Where a request goes: candidates, and who says so."""

    candidates: CandidateSet
    policy: str | None
    rule: str | None
    weights: tuple[int, ...] | None
    """Chance of each tier to come first; None keeps the order written."""
    models: tuple[str, ...]
    """The model of each tier, as the rule or the client names it."""
    profile: Profile
    """How its candidates are chosen among."""


@dataclass(slots=True, frozen=True)
class PolicyEntry:
    """One way into a policy, ready to match."""

    route: Route
    path: PathMatch | None
    headers: tuple[HeaderMatch, ...]
    pattern: "re.Pattern[str] | None" = None

    def matches(self, path: str, headers: Mapping[str, str]) -> bool:
        """Whether path and headers fit; the model is the index's business."""
        want = self.path
        if want is not None and not (is_under(path, want.value) if want.prefix else path == want.value):
            return False
        for header in self.headers:
            value = headers.get(header.name)
            if value is None or (header.value is not None and value != header.value):
                return False
        return True


@dataclass(slots=True, frozen=True)
class RoutingIndex:
    """Everything routing needs, for one snapshot and one set of endpoints."""

    snapshot: RoutingSnapshot
    exact: dict[str, tuple[PolicyEntry, ...]] = field(default_factory=dict)
    globs: tuple[PolicyEntry, ...] = ()
    any_model: tuple[PolicyEntry, ...] = ()
    names: dict[str, Route] = field(default_factory=dict)
    pools: dict[str, PoolSnapshot] = field(default_factory=dict)
    pool_routes: dict[str, Route] = field(default_factory=dict)
    """For calls that are forwarded to a pool without being understood."""
    by_address: dict[str, str] = field(default_factory=dict)
    """A pool (`namespace/name`) that has the address; for calls on stored responses."""
    _fixed: dict[tuple[str, str, bool], Route] = field(default_factory=dict)
    """Routes within a pool, by model as the request names it."""

    def match(self, model: str, path: str, headers: Mapping[str, str]) -> Route | None:
        """The route of a request: its most specific policy's, else its model name's, else None."""
        for entry in self.exact.get(model, ()):
            if entry.matches(path, headers):
                return entry.route
        for entry in self.globs:
            pattern = entry.pattern
            if pattern is not None and pattern.match(model) and entry.matches(path, headers):
                return entry.route
        for entry in self.any_model:
            if entry.matches(path, headers):
                return entry.route
        return self.names.get(model)

    def in_pool(self, pool: str, model: str, *, adapter: bool) -> Route | None:
        """The route of a request whose gateway has fixed the pool: any server of it, the name unchanged."""
        known = self._fixed.get((pool, model, adapter))
        if known is None:
            base = self.pool_routes.get(pool)
            if base is None:
                return None
            candidates = renamed(base.candidates, model, adapter=adapter)
            known = Route(candidates, None, None, None, (model,), base.profile)
            if len(self._fixed) >= _MAX_FIXED:
                self._fixed.clear()  # clients choose the names: whoever floods it pays a microsecond more
            self._fixed[pool, model, adapter] = known
        return known

    def model_names(self) -> list[str]:
        """Every name a client may ask for: served names, and exact names policies match."""
        return sorted({*self.names, *self.exact})


class CandidateSets:
    """Candidate sets by what they are made of, kept from one index to the next.

    When an endpoint of one pool comes or goes, only the sets with that pool are made anew. Holds for one
    endpoint table, whose addresses keep their rows as long as they stay in their pool.
    """

    def __init__(self) -> None:
        self._columns: dict[str, _Column] = {}
        self._sets: dict[_Tiers, tuple[tuple[object, ...], CandidateSet]] = {}
        self._used: set[_Tiers] = set()
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

    def of(self, tiers: "_Tiers", pools: Mapping[str, PoolSnapshot]) -> CandidateSet:
        """The candidates of some tiers of bindings."""
        self._used.add(tiers)
        bindings = [(tier, binding) for tier, found in enumerate(tiers) for binding in found]
        parts: list[object] = []
        for _, binding in bindings:
            parts += (self._columns.get(binding.pool), _saturation(pools.get(binding.pool)))
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
            )
            for tier, binding in bindings
            if (column := self._columns.get(binding.pool)) is not None
        ]
        shape = tuple([(group.tier, group.pool) for group in groups])
        columns = self._shared.get(shape)
        if columns is None:
            columns = self._shared[shape] = columns_of(groups)
        made = candidate_set(groups, len(tiers), columns)
        self._sets[tiers] = (made_of, made)
        return made

    def addresses(self, pool: str) -> tuple[str, ...]:
        """Those of a pool that have a row."""
        column = self._columns.get(pool)
        return () if column is None else column.addresses


_Tiers = tuple[tuple[Binding, ...], ...]


@dataclass(slots=True, frozen=True, eq=False)
class _Column:
    """A pool's endpoints; compared by identity."""

    asked: tuple[str, ...]
    addresses: tuple[str, ...]
    rows: "NDArray[np.intp]"


def _saturation(pool: PoolSnapshot | None) -> SaturationSnapshot:
    return UNBOUNDED if pool is None else pool.saturation


async def build_index(
    snapshot: RoutingSnapshot,
    table: EndpointTable,
    membership: Mapping[str, Iterable[str]],
    profiles: ProfileBook,
    sets: CandidateSets | None = None,
) -> RoutingIndex:
    """Build the index, in short turns. `membership` gives each pool's Envoy addresses, resolved.

    The table must keep these addresses' rows until the index is in use. `sets` are those of the index
    before, for the same table.
    """
    turns = Turns()
    sets = CandidateSets() if sets is None else sets
    sets.begin(membership, table)
    builder = _Builder(snapshot, profiles, sets)
    exact: dict[str, list[PolicyEntry]] = {}
    globs: list[PolicyEntry] = []
    any_model: list[PolicyEntry] = []
    for route in snapshot.routes:
        pattern = glob_pattern(route.model) if route.glob and route.model is not None else None
        entry = PolicyEntry(builder.policy_route(route), route.path, route.headers, pattern)
        if route.model is None:
            any_model.append(entry)
        elif route.glob:
            globs.append(entry)
        else:
            exact.setdefault(route.model, []).append(entry)
        await turns.give()
    names = {}
    for name, bindings in snapshot.names.items():
        names[name] = builder.name_route(name, bindings)
        await turns.give()
    pool_routes = {}
    by_address: dict[str, str] = {}
    for pool in snapshot.pools:
        pool_routes[pool.key] = builder.pool_route(pool)
        by_address.update(dict.fromkeys(sets.addresses(pool.key), pool.key))
        await turns.give()
    sets.end()
    return RoutingIndex(
        snapshot=snapshot,
        exact={model: tuple(entries) for model, entries in exact.items()},
        globs=tuple(globs),
        any_model=tuple(any_model),
        names=names,
        pools={pool.key: pool for pool in snapshot.pools},
        pool_routes=pool_routes,
        by_address=by_address,
    )


def profiles_of(snapshot: RoutingSnapshot) -> list[ProfileSnapshot]:
    """Every profile a snapshot uses."""
    found = [pool.scheduling for pool in snapshot.pools]
    found += [route.rule.scheduling for route in snapshot.routes if route.rule.scheduling is not None]
    return [*found, ProfileSnapshot()]


class _Builder:
    """Makes routes; policies with equal candidates share one candidate set."""

    def __init__(self, snapshot: RoutingSnapshot, profiles: ProfileBook, sets: CandidateSets) -> None:
        self._profiles = profiles
        self._pools = {pool.key: pool for pool in snapshot.pools}
        self._sets = sets

    def policy_route(self, route: PolicyRoute) -> Route:
        candidates = route.rule.candidates
        weights = tuple(candidate.weight for candidate in candidates if candidate.weight is not None)
        tiers = tuple(candidate.bindings for candidate in candidates)
        return Route(
            candidates=self._sets.of(tiers, self._pools),
            policy=route.policy,
            rule=route.rule.name,
            weights=weights if len(weights) == len(candidates) > 1 else None,
            models=tuple(candidate.model for candidate in candidates),
            profile=self._profile(tiers, route.rule.scheduling),
        )

    def name_route(self, name: str, bindings: tuple[Binding, ...]) -> Route:
        tiers = (bindings,)
        candidates = self._sets.of(tiers, self._pools)
        return Route(candidates, None, None, None, (name,), self._profile(tiers, None))

    def pool_route(self, pool: PoolSnapshot) -> Route:
        whatever = Binding(pool=pool.key, upstream_model="", kind=NameKind.MODEL)
        candidates = self._sets.of(((whatever,),), self._pools)
        return Route(candidates, None, None, None, ("",), self._profiles.profile(pool.scheduling))

    def _profile(self, tiers: _Tiers, own: ProfileSnapshot | None) -> Profile:
        """The policy's own profile, else that of the first pool with a candidate."""
        if own is None:
            pools = (self._pools.get(binding.pool) for bindings in tiers for binding in bindings)
            own = next((pool.scheduling for pool in pools if pool is not None), ProfileSnapshot())
        return self._profiles.profile(own)


def glob_pattern(glob: str) -> "re.Pattern[str]":
    """`*` is any run of characters, `?` is one; everything else is itself.

    What stands between two stars is taken where it first fits and never tried elsewhere (an atomic
    group): that finds the same names, and a client's long name cannot make the match try all ways
    to share it among the stars.
    """
    first, *rest = ("".join("." if c == "?" else re.escape(c) for c in run) for run in glob.split("*"))
    if not rest:
        return re.compile(f"(?s:{first})\\Z")
    between = "".join(f"(?>.*?{run})" for run in rest[:-1])
    return re.compile(f"(?s:{first}{between}.*{rest[-1]})\\Z")


def weighted_order(weights: Sequence[int], chances: Sequence[float]) -> list[int]:
    """An order of tiers drawn by weight, without replacement.

    Efraimidis and Spirakis, "Weighted random sampling with a reservoir" (2006): sort by u^(1/w).
    A tier of weight 0 is only a fallback.
    """
    keys = [
        chance ** (1.0 / weight) if weight > 0 else -1.0
        for weight, chance in zip(weights, chances, strict=True)
    ]
    return sorted(range(len(weights)), key=lambda tier: keys[tier], reverse=True)
