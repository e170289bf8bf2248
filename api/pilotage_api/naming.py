"""Who may use which name: visibility of pools, and what a name means to a namespace.

A namespace's own pools come first: a name they serve is never served, nor taken over, by a pool of
another namespace. Only names they do not serve come from pools that let the namespace in.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pilotage_api.findings import Finding, ResourceKey, Severity
from pilotage_api.modelpool import ModelPool
from pilotage_api.snapshot import Binding, NameKind


@dataclass(slots=True, frozen=True)
class Claim:
    """A pool says what a name means."""

    pool: ResourceKey
    name: str
    binding: Binding
    path: str

    @property
    def meaning(self) -> tuple[bool, str]:
        """Two claims agree when they name the same thing: an alias may repeat its model's name."""
        return self.binding.kind is NameKind.ADAPTER, self.binding.upstream_model


@dataclass(slots=True)
class Names:
    """What names mean to someone."""

    bindings: dict[str, list[Binding]] = field(default_factory=dict)
    conflicts: list[tuple[Claim, Claim]] = field(default_factory=list)
    """Loser and winner."""
    _winners: dict[str, Claim] = field(default_factory=dict)

    def take(self, claims: Iterable[Claim]) -> None:
        """Add claims, most entitled first."""
        for claim in claims:
            winner = self._winners.setdefault(claim.name, claim)
            if winner.meaning != claim.meaning:
                self.conflicts.append((claim, winner))
                continue
            bindings = self.bindings.setdefault(claim.name, [])
            if all(known.pool != claim.binding.pool for known in bindings):
                bindings.append(claim.binding)


def claims_of(pool: ModelPool) -> list[Claim]:
    """All names a pool claims, model names before aliases and adapters."""
    key = pool_key(pool)
    models: list[Claim] = []
    others: list[Claim] = []
    for index, model in enumerate(pool.spec.models):
        path = f"spec.models[{index}]"
        binding = Binding(pool=key.key, upstream_model=model.name, kind=NameKind.MODEL)
        models.append(Claim(key, model.name, binding, f"{path}.name"))
        for position, alias in enumerate(model.aliases):
            binding = Binding(pool=key.key, upstream_model=model.name, kind=NameKind.ALIAS)
            others.append(Claim(key, alias, binding, f"{path}.aliases[{position}]"))
        for position, adapter in enumerate(model.adapters):
            binding = Binding(pool=key.key, upstream_model=adapter.name, kind=NameKind.ADAPTER)
            others.append(Claim(key, adapter.name, binding, f"{path}.adapters[{position}].name"))
    return models + others


def pool_key(pool: ModelPool) -> ResourceKey:
    """The pool's identity."""
    return ResourceKey("ModelPool", pool.metadata.namespace, pool.metadata.name)


def admits(pool: ModelPool, namespace: str, labels: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether a pool lets a namespace's policies in."""
    allowed = pool.spec.allowed_namespaces
    if pool.metadata.namespace == namespace or allowed.from_ == "All":
        return True
    if allowed.from_ != "Selector" or allowed.selector is None:
        return False
    found = labels.get(namespace, {})
    return all(found.get(key) == value for key, value in allowed.selector.match_labels.items())


def names_for(
    namespaces: Iterable[str], pools: list[ModelPool], labels: Mapping[str, Mapping[str, str]]
) -> Names:
    """What names mean to someone in these namespaces. `pools` come oldest first."""
    wanted = frozenset(namespaces)
    everyone = "*" in wanted
    names = Names()
    own = [pool for pool in pools if everyone or pool.metadata.namespace in wanted]
    names.take(claim for pool in own for claim in claims_of(pool))
    served = frozenset(names.bindings)
    foreign = [
        pool
        for pool in pools
        if pool not in own and any(admits(pool, namespace, labels) for namespace in wanted)
    ]
    names.take(claim for pool in foreign for claim in claims_of(pool) if claim.name not in served)
    return names


def conflict_findings(names: Names, sources: Mapping[ResourceKey, str]) -> list[Finding]:
    """An error at each loser."""
    return [
        Finding(
            Severity.ERROR,
            "name-conflict",
            f"{loser.name!r} already means {winner.binding.upstream_model!r} of {winner.pool}, "
            f"which is older or comes first by name; here it would mean {loser.binding.upstream_model!r}",
            loser.pool,
            loser.path,
            "use another name, or remove the other claim",
            sources.get(loser.pool, ""),
        )
        for loser, winner in names.conflicts
    ]
