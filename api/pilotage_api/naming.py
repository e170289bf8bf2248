"""Who may use which name: visibility of pools, and what a name means to a namespace.

A namespace's own pools come first: a name they claim is never served, nor taken over, by a pool of
another namespace. Only names they do not claim come from pools that let the namespace in.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pilotage_api.facts_snapshot import ModelSnapshot
from pilotage_api.findings import ResourceKey
from pilotage_api.modelpool import ModelPool
from pilotage_api.require import labels_of
from pilotage_api.resource import OLDEST
from pilotage_api.snapshot import Binding, NameKind

EVERY_NAMESPACE = "*"
NAME_LABEL = "kubernetes.io/metadata.name"
"""Kubernetes sets it on every namespace, so files need not."""


@dataclass(slots=True, frozen=True)
class Claim:
    """A pool says what a name means."""

    pool: ResourceKey
    name: str
    binding: Binding
    called: str
    """The model or adapter itself, by its name and not by what the servers of one pool call it."""
    base: str
    """The model itself, or the one an adapter belongs to."""
    path: str
    """Where the pool says so."""

    @property
    def meaning(self) -> tuple[str, str]:
        """Two claims agree when they name the same thing: an alias may repeat its model's name."""
        return self.called, self.base

    @property
    def identity(self) -> tuple[ResourceKey, str, tuple[str, str]]:
        """Who means what by which name; the same after an edit that changes none of them."""
        return self.pool, self.name, self.meaning

    def __str__(self) -> str:
        if self.binding.kind is NameKind.ADAPTER:
            return f"the adapter of {self.base!r}"
        return repr(self.base)


@dataclass(slots=True, frozen=True)
class HeldNames:
    """Since which compilation each claim has been there: what a running gateway does comes first."""

    compilation: int = 0
    since: Mapping[tuple[ResourceKey, str, tuple[str, str]], int] = field(default_factory=dict)


@dataclass(slots=True, frozen=True)
class Conflict:
    """Two claims on one name that do not agree."""

    loser: Claim
    winner: Claim


@dataclass(slots=True, frozen=True)
class Meaning:
    """What a name means to someone."""

    bindings: tuple[Binding, ...]
    conflicts: tuple[Conflict, ...]
    hidden: tuple[Claim, ...]
    """Claims that do not count here: of pools that do not let the asker in, or that own pools outrank."""
    refused: tuple[ResourceKey, ...] = ()
    """Pools of the asker's namespaces that have the name, and are refused as they stand."""


class NameRegistry:
    """All claims on names, and who sees which pool."""

    def __init__(
        self,
        pools: list[ModelPool],
        labels: Mapping[str, Mapping[str, str]],
        held: HeldNames | None = None,
        refused: Mapping[str, tuple[ResourceKey, ...]] | None = None,
    ) -> None:
        """`pools` come oldest first: of claims that do not agree the first wins.

        `refused` are pools that count for nothing, by the names that they would have.

        Of pools without an age, as files have none, a claim that was there before wins over a new one.
        """
        held = held or HeldNames()
        self._refused = refused or {}
        now = held.compilation + 1
        self._labels = labels
        self._pools = {pool.resource_key: pool for pool in pools}
        self._claims: dict[str, list[Claim]] = {}
        since = {}
        for pool in pools:
            for claim in claims_of(pool):
                self._claims.setdefault(claim.name, []).append(claim)
                since[claim.identity] = held.since.get(claim.identity, now)
        self.held = HeldNames(now, since)
        """To be handed in the next time."""

    def __iter__(self) -> Iterator[str]:
        """Every name anyone claims."""
        return iter(self._claims)

    def means(self, name: str, namespaces: frozenset[str]) -> Meaning:
        """What a name means to those namespaces together."""
        own: list[Claim] = []
        foreign: list[Claim] = []
        hidden: list[Claim] = []
        for claim in self._claims.get(name, ()):
            if EVERY_NAMESPACE in namespaces or claim.pool.namespace in namespaces:
                own.append(claim)
            elif self.sees(self._pools[claim.pool], namespaces):
                foreign.append(claim)
            else:
                hidden.append(claim)
        if own:
            hidden += foreign
        return self._settled(own or foreign, hidden, self._refused_in(name, namespaces))

    def _refused_in(self, name: str, namespaces: frozenset[str]) -> tuple[ResourceKey, ...]:
        every = EVERY_NAMESPACE in namespaces
        return tuple(key for key in self._refused.get(name, ()) if every or key.namespace in namespaces)

    def _settled(self, claims: list[Claim], hidden: list[Claim], refused: tuple[ResourceKey, ...]) -> Meaning:
        bindings: dict[str, Binding] = {}
        conflicts = []
        winner = min(claims, key=self._seniority, default=None)
        for claim in claims:
            if winner is not None and claim.meaning != winner.meaning:
                conflicts.append(Conflict(claim, winner))
            else:
                bindings.setdefault(claim.binding.pool, claim.binding)
        return Meaning(tuple(bindings.values()), tuple(conflicts), tuple(hidden), refused)

    def _seniority(self, claim: Claim) -> tuple[datetime, int]:
        """Smaller comes first; equals stand in the order of their pools."""
        created = self._pools[claim.pool].metadata.created
        return created, self.held.since[claim.identity] if created == OLDEST else 0

    def sees(self, pool: ModelPool, namespaces: Iterable[str]) -> bool:
        """Whether any of those namespaces may use a pool."""
        return any(
            namespace == EVERY_NAMESPACE or admits(pool, namespace, self._labels) for namespace in namespaces
        )

    def sees_pool(self, pool: ResourceKey, namespace: str) -> bool | None:
        """Whether a namespace may use the pool of that name; None where there is none."""
        found = self._pools.get(pool)
        return None if found is None else self.sees(found, (namespace,))

    def facts_of(self, binding: Binding) -> ModelSnapshot | None:
        """What the pool of a binding says of its model, or of the model its adapter belongs to."""
        namespace, _, name = binding.pool.partition("/")
        pool = self._pools.get(ResourceKey("ModelPool", namespace, name))
        for model in () if pool is None else pool.spec.models:
            adapters = [adapter.name for adapter in model.adapters]
            if binding.upstream_model == model.upstream or binding.upstream_model in adapters:
                return model.snapshot()
        return None

    def labels_of(self, pool: str) -> dict[str, str]:
        """Labels of a pool (`namespace/name`) as residency sees them; none of one that is not there."""
        namespace, _, name = pool.partition("/")
        found = self._pools.get(ResourceKey("ModelPool", namespace, name))
        return {} if found is None else labels_of(found)

    def pool_names(self, namespace: str) -> list[str]:
        """Names of a namespace's pools."""
        return [pool.name for pool in self._pools if pool.namespace == namespace]


def claims_of(pool: ModelPool) -> list[Claim]:
    """All names a pool claims, model names before aliases and adapters."""
    key = pool.resource_key
    models: list[Claim] = []
    others: list[Claim] = []
    for index, model in enumerate(pool.spec.models):
        path = f"spec.models[{index}]"
        binding = Binding(pool=key.key, upstream_model=model.upstream, kind=NameKind.MODEL)
        models.append(Claim(key, model.name, binding, model.name, model.name, f"{path}.name"))
        for position, alias in enumerate(model.aliases):
            binding = Binding(pool=key.key, upstream_model=model.upstream, kind=NameKind.ALIAS)
            others.append(Claim(key, alias, binding, model.name, model.name, f"{path}.aliases[{position}]"))
        for position, adapter in enumerate(model.adapters):
            binding = Binding(pool=key.key, upstream_model=adapter.name, kind=NameKind.ADAPTER)
            at = f"{path}.adapters[{position}].name"
            others.append(Claim(key, adapter.name, binding, adapter.name, model.name, at))
    return models + others


def admits(pool: ModelPool, namespace: str, labels: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether a pool lets a namespace's policies in."""
    allowed = pool.spec.allowed_namespaces
    if pool.metadata.namespace == namespace or allowed.from_ == "All":
        return True
    if allowed.from_ != "Selector" or allowed.selector is None:
        return False
    found = {**labels.get(namespace, {}), NAME_LABEL: namespace}
    return all(found.get(key) == value for key, value in allowed.selector.match_labels.items())
