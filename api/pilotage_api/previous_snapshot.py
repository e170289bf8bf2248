"""Snapshots in the format before this one: made for pickers that read no other, and read from old operators.

The one place that knows both formats. With the next format it is replaced by one that knows that and this.
Format 1 has one rule for each way into a policy, with no condition.
"""

import hashlib
from dataclasses import dataclass
from typing import Final, Protocol, Self, TypeVar

from pydantic import Field

from pilotage_api.part import Part
from pilotage_api.snapshot import (
    Binding,
    CandidateModel,
    EndpointSnapshot,
    Engine,
    HeaderMatch,
    HealthSnapshot,
    PathMatch,
    PolicyRoute,
    PoolSnapshot,
    ProfileSnapshot,
    RoutingSnapshot,
    RuleSnapshot,
    SaturationSnapshot,
    StreamUsage,
)

T_co = TypeVar("T_co", covariant=True)

FORMAT: Final = 2
"""Of a `RoutingSnapshot`."""
PREVIOUS_FORMAT: Final = 1
READABLE_FORMATS: Final = (PREVIOUS_FORMAT, FORMAT)


class Previous(Protocol[T_co]):
    """A part of a snapshot of format 1."""

    def upgraded(self) -> T_co:
        """The same part in today's format."""


class PreviousPool(Part):
    """`PoolSnapshot` of format 1: nothing is known of its models."""

    key: str
    engine: Engine
    endpoints: tuple[EndpointSnapshot, ...]
    selector: dict[str, str] = Field(default={})
    target_ports: tuple[int, ...] = ()
    stream_usage: StreamUsage
    models: tuple[str, ...]
    adapters: tuple[str, ...] = ()
    scheduling: ProfileSnapshot = ProfileSnapshot()
    saturation: SaturationSnapshot = SaturationSnapshot()
    health: HealthSnapshot = HealthSnapshot()

    @classmethod
    def of(cls, pool: PoolSnapshot) -> Self:
        """The pool as format 1 says it."""
        return cls(**{name: getattr(pool, name) for name in cls.model_fields})

    def upgraded(self) -> PoolSnapshot:
        """The same pool in today's format."""
        return PoolSnapshot(**{name: getattr(self, name) for name in type(self).model_fields})


class PreviousRule(Part):
    """`RuleSnapshot` of format 1."""

    name: str
    candidates: tuple[CandidateModel, ...]
    scheduling: ProfileSnapshot | None = None

    def upgraded(self) -> RuleSnapshot:
        """The same rule in today's format."""
        return RuleSnapshot(name=self.name, candidates=self.candidates, scheduling=self.scheduling)


class PreviousRoute(Part):
    """`PolicyRoute` of format 1."""

    policy: str
    model: str | None
    glob: bool
    path: PathMatch | None
    headers: tuple[HeaderMatch, ...]
    rule: PreviousRule

    def upgraded(self) -> PolicyRoute:
        """The same route in today's format."""
        return PolicyRoute(
            policy=self.policy,
            model=self.model,
            glob=self.glob,
            path=self.path,
            headers=self.headers,
            rules=(self.rule.upgraded(),),
        )


class PreviousSnapshot(Part):
    """`RoutingSnapshot` of format 1; `content()` is byte for byte what a publisher of format 1 writes."""

    version: str = ""
    pools: tuple[PreviousPool, ...] = ()
    names: dict[str, tuple[Binding, ...]] = Field(default={})
    routes: tuple[PreviousRoute, ...] = ()

    def content(self) -> bytes:
        """What `version` is the digest of."""
        return self.model_copy(update={"version": ""}).model_dump_json().encode()

    def sealed(self) -> Self:
        """The same snapshot with `version` set, as `RoutingSnapshot.sealed` does."""
        return self.model_copy(update={"version": hashlib.sha256(self.content()).hexdigest()[:16]})


@dataclass(slots=True, frozen=True)
class Lowered:
    """A snapshot for those who read the format before only."""

    snapshot: PreviousSnapshot | None
    """Sealed; None where it cannot be said in that format; it is never said differently."""
    policies: tuple[str, ...] = ()
    """Those that it cannot say, `namespace/name`, sorted."""
    tenants: tuple[str, ...] = ()
    """The same; it knows none."""


def lowered(snapshot: RoutingSnapshot) -> Lowered:
    """The snapshot in the format before, where every request would be routed alike by it."""
    routes = [(route.policy, _lowered(route)) for route in snapshot.routes]
    unsaid = sorted({policy for policy, route in routes if route is None})
    tenants = tuple(tenant.key for tenant in snapshot.tenants)
    if unsaid or tenants:
        return Lowered(None, tuple(unsaid), tenants)
    said = tuple(route for _, route in routes if route is not None)
    pools = tuple(PreviousPool.of(pool) for pool in snapshot.pools)
    return Lowered(PreviousSnapshot(pools=pools, names=snapshot.names, routes=said).sealed())


def _lowered(route: PolicyRoute) -> PreviousRoute | None:
    """Its first rule, where that takes every request, draws nothing by a header, changes nothing in
    requests and falls back nowhere."""
    first = route.rules[0]
    newer = (
        first.when,
        first.sticky_by,
        first.objective,
        first.fallback,
        first.timeouts,
        route.overrides,
        route.governance,
        route.queue,
        route.guards,
        first.require or None,
    )
    if first.transforms or any(one is not None for one in newer):
        return None
    return PreviousRoute(
        policy=route.policy,
        model=route.model,
        glob=route.glob,
        path=route.path,
        headers=route.headers,
        rule=PreviousRule(name=first.name, candidates=first.candidates, scheduling=first.scheduling),
    )
