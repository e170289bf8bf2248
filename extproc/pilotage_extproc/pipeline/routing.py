"""The routing index: from a model name, path and headers to candidates, without searching policies.

Built off the request path whenever the snapshot or the endpoints change, and swapped in one step.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

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
from pilotage_extproc.scheduling.candidates import UNBOUNDED, Candidate, CandidateSet, candidate_set
from pilotage_extproc.scheduling.profile import Profile, ProfileBook
from pilotage_extproc.state.endpoints import EndpointTable


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

    def model_names(self) -> list[str]:
        """Every name a client may ask for: served names, and exact names policies match."""
        return sorted({*self.names, *self.exact})


def build_index(
    snapshot: RoutingSnapshot,
    table: EndpointTable,
    membership: Mapping[str, Iterable[str]],
    profiles: ProfileBook,
) -> RoutingIndex:
    """Build the index. `membership` gives each pool's Envoy addresses, resolved."""
    addresses = {pool: tuple(found) for pool, found in membership.items()}
    builder = _Builder(snapshot, table, addresses, profiles)
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
    return RoutingIndex(
        snapshot=snapshot,
        exact={model: tuple(entries) for model, entries in exact.items()},
        globs=tuple(globs),
        any_model=tuple(any_model),
        names={name: builder.name_route(name, bindings) for name, bindings in snapshot.names.items()},
        pools={pool.key: pool for pool in snapshot.pools},
        pool_routes={pool.key: builder.pool_route(pool.key) for pool in snapshot.pools},
        by_address={address: pool for pool, found in addresses.items() for address in found},
    )


def profiles_of(snapshot: RoutingSnapshot) -> list[ProfileSnapshot]:
    """Every profile a snapshot uses."""
    found = [pool.scheduling for pool in snapshot.pools]
    found += [route.rule.scheduling for route in snapshot.routes if route.rule.scheduling is not None]
    return [*found, ProfileSnapshot()]


class _Builder:
    """Makes routes; policies with equal candidates share one candidate set."""

    def __init__(
        self,
        snapshot: RoutingSnapshot,
        table: EndpointTable,
        addresses: Mapping[str, tuple[str, ...]],
        profiles: ProfileBook,
    ) -> None:
        self._table = table
        self._addresses = addresses
        self._profiles = profiles
        self._pools = {pool.key: pool for pool in snapshot.pools}
        self._sets: dict[tuple[tuple[Binding, ...], ...], CandidateSet] = {}

    def policy_route(self, route: PolicyRoute) -> Route:
        candidates = route.rule.candidates
        weights = tuple(candidate.weight for candidate in candidates if candidate.weight is not None)
        tiers = tuple(candidate.bindings for candidate in candidates)
        return Route(
            candidates=self._set(tiers),
            policy=route.policy,
            rule=route.rule.name,
            weights=weights if len(weights) == len(candidates) > 1 else None,
            models=tuple(candidate.model for candidate in candidates),
            profile=self._profile(tiers, route.rule.scheduling),
        )

    def name_route(self, name: str, bindings: tuple[Binding, ...]) -> Route:
        tiers = (bindings,)
        return Route(self._set(tiers), None, None, None, (name,), self._profile(tiers, None))

    def pool_route(self, pool: str) -> Route:
        entries = [Candidate(0, address, pool, "") for address in self._addresses.get(pool, ())]
        profile = self._profiles.profile(self._pools[pool].scheduling)
        return Route(candidate_set(entries, self._table, 1), None, None, None, ("",), profile)

    def _profile(self, tiers: tuple[tuple[Binding, ...], ...], own: ProfileSnapshot | None) -> Profile:
        """The policy's own profile, else that of the first pool with a candidate."""
        if own is None:
            pools = (self._pools.get(binding.pool) for bindings in tiers for binding in bindings)
            own = next((pool.scheduling for pool in pools if pool is not None), ProfileSnapshot())
        return self._profiles.profile(own)

    def _set(self, tiers: tuple[tuple[Binding, ...], ...]) -> CandidateSet:
        found = self._sets.get(tiers)
        if found is None:
            entries = [
                Candidate(
                    tier,
                    address,
                    binding.pool,
                    binding.upstream_model,
                    binding.kind is NameKind.ADAPTER,
                    self._saturation(binding.pool),
                )
                for tier, bindings in enumerate(tiers)
                for binding in bindings
                for address in self._addresses.get(binding.pool, ())
            ]
            found = self._sets[tiers] = candidate_set(entries, self._table, len(tiers))
        return found

    def _saturation(self, pool: str) -> SaturationSnapshot:
        found = self._pools.get(pool)
        return UNBOUNDED if found is None else found.saturation


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
