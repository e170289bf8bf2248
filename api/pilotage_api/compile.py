"""`compile_resources()`: from resources to the routing snapshot, with findings. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from pilotage_api.findings import Finding, ResourceKey, Severity
from pilotage_api.load import Loaded, Resource
from pilotage_api.modelpool import ModelPool
from pilotage_api.naming import Names, conflict_findings, names_for, pool_key
from pilotage_api.policies import PolicyCompiler, policy_key
from pilotage_api.routepolicy import RoutePolicy
from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import Binding, EndpointSnapshot, PoolSnapshot, RoutingSnapshot


@dataclass(slots=True, frozen=True)
class Compiled:
    """A snapshot, what was found on the way, and the resources that are in force."""

    snapshot: RoutingSnapshot
    findings: tuple[Finding, ...]
    in_force: Mapping[ResourceKey, Resource]
    """To be handed in as `last_good` the next time."""

    @property
    def has_errors(self) -> bool:
        """Whether anything does not take effect."""
        return any(finding.severity is Severity.ERROR for finding in self.findings)


def compile_resources(
    loaded: Loaded,
    settings: GatewaySettings,
    last_good: Mapping[ResourceKey, Resource] | None = None,
    last_sources: Mapping[ResourceKey, str] | None = None,
) -> Compiled:
    """Compile what was loaded.

    A resource that is wrong now keeps the form it has in `last_good`; so do all resources of a file
    that cannot be read any more (`last_sources` says which those were).
    """
    findings = list(loaded.findings)
    resources = dict(loaded.resources)
    _keep_last_good(loaded, resources, findings, last_good or {}, last_sources or {})
    pools = sorted(
        (one for one in resources.values() if isinstance(one, ModelPool)),
        key=lambda pool: (pool.metadata.created, pool_key(pool).key),
    )
    policies = sorted(
        (one for one in resources.values() if isinstance(one, RoutePolicy)),
        key=lambda policy: (policy.metadata.created, policy_key(policy).key),
    )
    for pool in pools:
        findings += _pool_findings(pool, loaded)
    gateway_names = names_for(settings.namespaces, pools, loaded.namespace_labels)
    findings += conflict_findings(gateway_names, loaded.sources)
    compiler = PolicyCompiler(pools, loaded, settings)
    routes = compiler.routes(policies)
    findings += compiler.findings
    findings += _settings_findings(settings, pools)
    snapshot = RoutingSnapshot(
        pools=tuple(sorted((_pool_snapshot(pool) for pool in pools), key=lambda pool: pool.key)),
        names=_sorted_names(gateway_names),
        routes=routes,
    ).sealed()
    return Compiled(snapshot, tuple(dict.fromkeys(findings)), resources)


def _keep_last_good(
    loaded: Loaded,
    resources: dict[ResourceKey, Resource],
    findings: list[Finding],
    last_good: Mapping[ResourceKey, Resource],
    last_sources: Mapping[ResourceKey, str],
) -> None:
    for key, resource in last_good.items():
        file = last_sources.get(key, "").rpartition(":")[0]
        if key in resources or (key not in loaded.refused and file not in loaded.unreadable):
            continue
        resources[key] = resource
        loaded.sources.setdefault(key, last_sources.get(key, ""))
        message = "is wrong as it stands now; its last good form stays in force"
        findings.append(Finding(Severity.WARNING, "last-good", message, key, "", "correct it", file))


def _pool_findings(pool: ModelPool, loaded: Loaded) -> list[Finding]:
    key = pool_key(pool)
    source = loaded.sources.get(key, "")
    findings = []
    if not pool.spec.endpoints:
        findings.append(
            Finding(
                Severity.WARNING,
                "no-endpoints",
                "the pool has no endpoints: requests for its models are answered 503",
                key,
                "spec.endpoints",
                "list at least one address and port",
                source,
            )
        )
    seen: set[tuple[str, int]] = set()
    for index, endpoint in enumerate(pool.spec.endpoints):
        place = (endpoint.address, endpoint.port)
        if place in seen:
            message = f"{endpoint.address}:{endpoint.port} stands twice"
            path = f"spec.endpoints[{index}]"
            findings.append(
                Finding(Severity.WARNING, "duplicate-endpoint", message, key, path, "remove one", source)
            )
        seen.add(place)
    allowed = pool.spec.allowed_namespaces
    if (allowed.from_ == "Selector") != (allowed.selector is not None):
        message = "selector belongs to from: Selector, and is needed there"
        path = "spec.allowedNamespaces.selector"
        fix = "set both or neither; until then only the pool's own namespace may use it"
        findings.append(Finding(Severity.ERROR, "invalid-value", message, key, path, fix, source))
    return findings


def _pool_snapshot(pool: ModelPool) -> PoolSnapshot:
    spec = pool.spec
    places = dict.fromkeys((endpoint.address, endpoint.port) for endpoint in spec.endpoints)
    models = [name for model in spec.models for name in (model.name, *(one.name for one in model.adapters))]
    return PoolSnapshot(
        key=pool_key(pool).key,
        engine=spec.engine,
        endpoints=tuple(EndpointSnapshot(address=address, port=port) for address, port in places),
        stream_usage=spec.stream_usage,
        models=tuple(dict.fromkeys(models)),
    )


def _sorted_names(names: Names) -> dict[str, tuple[Binding, ...]]:
    return {name: tuple(bindings) for name, bindings in sorted(names.bindings.items())}


def _settings_findings(settings: GatewaySettings, pools: list[ModelPool]) -> list[Finding]:
    known = {pool_key(pool).key for pool in pools}
    named = {
        "spec.failOpenPool": settings.fail_open_pool,
        "spec.otherPaths.pool": settings.other_paths.pool,
        "spec.otherBodies.pool": settings.other_bodies.pool,
    }
    findings = [
        Finding(
            Severity.ERROR,
            "no-such-pool",
            f"no pool {pool!r} exists",
            ResourceKey("GatewaySettings", "", "pilotage"),
            path,
            "name a ModelPool as namespace/name",
        )
        for path, pool in named.items()
        if pool is not None and pool not in known
    ]
    for name, traffic in (("otherPaths", settings.other_paths), ("otherBodies", settings.other_bodies)):
        if traffic.action == "forward" and traffic.pool is None:
            findings.append(
                Finding(
                    Severity.ERROR,
                    "missing-field",
                    "action forward needs a pool; until then such requests are rejected",
                    ResourceKey("GatewaySettings", "", "pilotage"),
                    f"spec.{name}.pool",
                    "name a ModelPool as namespace/name",
                )
            )
    return findings
