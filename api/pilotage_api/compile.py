"""`compile_resources()`: from resources to the routing snapshot, with findings. Pure."""

from dataclasses import dataclass, replace

from pydantic import BaseModel

from pilotage_api.address import bracketed, canonical_host
from pilotage_api.answer_findings import find_unkept_floor, refuse_unkept_answers
from pilotage_api.compiled_policies import CompiledPolicies, Surroundings
from pilotage_api.external_findings import find_in_external
from pilotage_api.findings import Find, Finding, ResourceKey, Severity
from pilotage_api.floor import refused_ways
from pilotage_api.gateway_findings import find_under_gateway
from pilotage_api.identity_findings import find_in_identity
from pilotage_api.in_force import InForce, taking_effect
from pilotage_api.keywords import used_keywords
from pilotage_api.load import SETTINGS_KEY, Loaded
from pilotage_api.modelpool import ModelPool
from pilotage_api.naming import NameRegistry
from pilotage_api.objective_findings import find_falling_curves, find_unlabelled_gains
from pilotage_api.policies import compile_policies
from pilotage_api.profile_findings import find_in_bounds, find_in_profile
from pilotage_api.prompt_findings import find_unfound_features
from pilotage_api.queue_findings import find_idle_queues
from pilotage_api.refused_names import refused_names
from pilotage_api.remote_guard_findings import find_in_remote_guards
from pilotage_api.require import labels_of
from pilotage_api.residency import find_in_labels
from pilotage_api.residency_proof import find_breaches
from pilotage_api.routepolicy import RoutePolicy
from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import (
    Binding,
    EndpointSnapshot,
    Engine,
    PoolSnapshot,
    RoutingSnapshot,
)
from pilotage_api.tenant import Tenant
from pilotage_api.tenants import compile_tenants
from pilotage_api.transform_compile import used_transforms


@dataclass(slots=True, frozen=True)
class Compiled:
    """A snapshot, what was found on the way, and what takes effect."""

    snapshot: RoutingSnapshot
    findings: tuple[Finding, ...]
    in_force: InForce
    """To be handed in as `last_good` the next time."""
    policies: CompiledPolicies
    """To be handed in as `earlier` the next time."""
    refused: frozenset[ResourceKey]
    """Resources that are there but wrong; each has a finding."""

    @property
    def has_errors(self) -> bool:
        """Whether anything does not take effect."""
        return any(finding.severity is Severity.ERROR for finding in self.findings)


def compile_resources(
    loaded: Loaded,
    settings: GatewaySettings,
    last_good: InForce | None = None,
    *,
    earlier: CompiledPolicies | None = None,
    installed: frozenset[str] = frozenset(),
    in_cluster: bool = False,
) -> Compiled:
    """Compile what was loaded; never raises for what that is.

    A resource that is wrong now keeps the revision it has in `last_good`, and so do all resources of a
    file that cannot be read any more. With `earlier` policies that are the same are not compiled again, and
    the outcome is equal. `installed` names the plug-ins there are where this runs; `in_cluster` says that it
    is a cluster's, where other rules hold for hosted providers.
    """
    in_force, kept = taking_effect(loaded, last_good or InForce())
    findings = [*loaded.findings, *kept]

    def find(severity: Severity, code: str, message: str, key: ResourceKey, path: str, fix: str) -> None:
        source = loaded.at(key, path) or in_force.files.get(key, "")
        findings.append(Finding(severity, code, message, key, path, fix, source))

    pools = sorted(
        (one for one in in_force.resources.values() if isinstance(one, ModelPool)),
        key=lambda pool: (pool.metadata.created, pool.resource_key.key),
    )
    policies = sorted(
        (one for one in in_force.resources.values() if isinstance(one, RoutePolicy)),
        key=lambda policy: (policy.metadata.created, policy.resource_key.key),
    )
    refused = refused_names(loaded, in_force.resources)
    names = NameRegistry(pools, in_force.namespace_labels, in_force.held_names, refused)
    in_force = replace(in_force, held_names=names.held)
    namespaces = frozenset(settings.namespaces)
    for pool in pools:
        _find_in_pool(pool, installed, find)
        find_in_external(pool, pool.resource_key, settings, in_cluster=in_cluster, find=find)
        find_in_labels(pool, pool.resource_key, find)
    served = _names_without_policy(names, namespaces, find)
    routes, compiled = compile_policies(
        policies,
        names,
        Surroundings.of(settings, pools, refused, in_force, names, installed),
        find,
        refusing=refused_ways(loaded, in_force, namespaces, find),
        earlier=earlier or CompiledPolicies(),
    )
    tenants = sorted(
        (one for one in in_force.resources.values() if isinstance(one, Tenant)),
        key=lambda tenant: (tenant.metadata.created, tenant.resource_key.key),
    )
    _find_in_settings(settings, pools, loaded, find)
    find_in_identity(settings.governance.identity, in_cluster=in_cluster, find=find)
    find_in_remote_guards(policies, settings, in_cluster=in_cluster, find=find)
    find_unfound_features(routes, settings.prompt_features, find)
    find_unkept_floor(settings, find)
    routes = refuse_unkept_answers(routes, settings, find)
    find_unlabelled_gains(policies, settings, find)
    find_idle_queues(pools, policies, routes, find)
    used = _used_pools(pools, names, settings, find)
    used_keys, obeyed = {pool.key for pool in used}, {route.policy for route in routes}
    asking: list[tuple[ResourceKey, BaseModel]] = [(SETTINGS_KEY, settings)]
    asking += [(key, one.spec) for one in policies if (key := one.resource_key).key in obeyed]
    asking += [(key, one.spec) for one in pools if (key := one.resource_key).key in used_keys]
    asking += [(one.resource_key, one.spec) for one in tenants]
    find_under_gateway(settings.gateway, asking, find)
    snapshot = RoutingSnapshot(
        pools=used,
        names=served,
        routes=routes,
        keywords=used_keywords(((one.resource_key, one.spec.keywords) for one in policies), routes),
        transforms=used_transforms(((one.resource_key, one) for one in policies), routes),
        tenants=compile_tenants(tenants, loaded, in_force, names, settings, find),
    ).sealed()
    find_breaches(snapshot, settings, find)
    found = tuple(dict.fromkeys(findings))
    return Compiled(snapshot, found, in_force, compiled, frozenset(loaded.refused))


def _find_in_pool(pool: ModelPool, installed: frozenset[str], find: Find) -> None:
    key = pool.resource_key
    if not pool.spec.endpoints and pool.spec.selector is None and pool.spec.external is None:
        message = "the pool has no endpoints: requests for its models are answered 503"
        fix = "list at least one address and port, or select pods"
        find(Severity.WARNING, "no-endpoints", message, key, "spec.endpoints", fix)
    seen: set[tuple[str, int]] = set()
    for index, endpoint in enumerate(pool.spec.endpoints):
        host = canonical_host(endpoint.address)
        place = (host, endpoint.port)
        if place in seen:
            spelled = "" if host == endpoint.address else f", here as {endpoint.address}"
            message = f"{bracketed(host)}:{endpoint.port} stands twice{spelled}; it counts once"
            path = f"spec.endpoints[{index}]"
            find(Severity.WARNING, "duplicate-endpoint", message, key, path, "remove one")
        seen.add(place)
    find_in_profile(pool.spec.scheduling, key, installed, find)
    find_in_bounds(pool.spec.saturation, pool.spec.health, key, find)
    find_falling_curves(pool, key, find)


def _names_without_policy(
    names: NameRegistry, namespaces: frozenset[str], find: Find
) -> dict[str, tuple[Binding, ...]]:
    """What names mean to requests that no policy matches; every loser of a conflict gets a finding."""
    served = {}
    for name in sorted(names):
        meaning = names.means(name, namespaces)
        if meaning.bindings:
            served[name] = meaning.bindings
        for conflict in meaning.conflicts:
            loser, winner = conflict.loser, conflict.winner
            whose = (
                "in this pool itself"
                if winner.pool == loser.pool
                else f"of {winner.pool}, which has it longer or comes first by name"
            )
            find(
                Severity.ERROR,
                "name-conflict",
                f"{name!r} already means {winner} {whose}; here it would mean {loser}",
                loser.pool,
                loser.path,
                "use another name, or remove the other claim",
            )
    return served


def _used_pools(
    pools: list[ModelPool], names: NameRegistry, settings: GatewaySettings, find: Find
) -> tuple[PoolSnapshot, ...]:
    """The pools something of this gateway may send requests to; it need not watch the others."""
    by_settings = set(_pools_of_settings(settings).values())
    used = []
    for pool in pools:
        key = pool.resource_key
        if names.sees(pool, settings.namespaces) or key.key in by_settings:
            used.append(_pool_snapshot(pool))
        else:
            obeyed = ", ".join(sorted(settings.namespaces))
            message = f"has no effect: no namespace this gateway obeys ({obeyed}) may use the pool"
            fix = f"set allowedNamespaces, or add {key.namespace} to the gateway's namespaces"
            find(Severity.WARNING, "pool-not-used", message, key, "spec.allowedNamespaces", fix)
    return tuple(sorted(used, key=lambda pool: pool.key))


def _pool_snapshot(pool: ModelPool) -> PoolSnapshot:
    spec = pool.spec
    measured = spec.external is None and spec.engine is not Engine.OPENAI
    places = dict.fromkeys((canonical_host(endpoint.address), endpoint.port) for endpoint in spec.endpoints)
    models = [
        name for model in spec.models for name in (model.upstream, *(one.name for one in model.adapters))
    ]
    return PoolSnapshot(
        key=pool.resource_key.key,
        engine=spec.engine if spec.external is None else Engine.OPENAI,
        endpoints=tuple(EndpointSnapshot(address=address, port=port) for address, port in places),
        selector={} if spec.selector is None else dict(sorted(spec.selector.match_labels.items())),
        target_ports=tuple(spec.target_ports),
        stream_usage=spec.stream_usage,
        models=tuple(dict.fromkeys(models)),
        adapters=tuple(dict.fromkeys(one.name for model in spec.models for one in model.adapters)),
        scheduling=spec.scheduling.snapshot(),
        saturation=spec.saturation.snapshot(),
        health=spec.health.snapshot(),
        model_facts=tuple(made for model in spec.models if (made := model.snapshot()).says_anything),
        labels=labels_of(pool),
        external=None if spec.external is None else spec.external.snapshot(pool.resource_key.namespace),
        admission_queue_depth=None if spec.admission is None or not measured else spec.admission.queue_depth,
    )


def _pools_of_settings(settings: GatewaySettings) -> dict[str, str]:
    """Pools the settings name, by the field that names them."""
    named = {
        "spec.failOpenPool": settings.fail_open_pool,
        "spec.otherPaths.pool": settings.other_paths.pool,
        "spec.otherBodies.pool": settings.other_bodies.pool,
    }
    return {path: pool for path, pool in named.items() if pool is not None}


def _find_in_settings(settings: GatewaySettings, pools: list[ModelPool], loaded: Loaded, find: Find) -> None:
    known = {pool.resource_key.key for pool in pools}
    external = {pool.resource_key.key for pool in pools if pool.spec.external is not None}
    for path, pool in _pools_of_settings(settings).items():
        if pool not in known:
            message, fix = _missing_pool(pool, sorted(known), loaded)
            find(Severity.ERROR, "no-such-pool", message, SETTINGS_KEY, path, fix)
        elif pool in external:
            message = f"{pool} is a hosted provider: what nobody has read or decided on is not sent there"
            fix = "name a ModelPool with servers of its own"
            find(Severity.ERROR, "external-pool", message, SETTINGS_KEY, path, fix)
    for name, traffic in (("otherPaths", settings.other_paths), ("otherBodies", settings.other_bodies)):
        if traffic.action == "forward" and traffic.pool is None:
            message = "action forward needs a pool; until then such requests are rejected"
            fix = "name a ModelPool as namespace/name"
            find(Severity.ERROR, "missing-field", message, SETTINGS_KEY, f"spec.{name}.pool", fix)
        elif traffic.action == "reject" and traffic.pool is not None:
            message, fix = "has no effect: the action is reject", "set action: forward, or remove it"
            find(Severity.WARNING, "no-effect", message, SETTINGS_KEY, f"spec.{name}.pool", fix)


def _missing_pool(named: str, known: list[str], loaded: Loaded) -> tuple[str, str]:
    """Why a pool that the settings name is not there, and the fix."""
    namespace, slash, name = named.rpartition("/")
    refused = {key.key for key in loaded.refused if key.kind == "ModelPool"}
    if named in refused:
        return f"pool {named!r} is refused as it stands", "correct it: see its own findings"
    elsewhere = [one for one in (*known, *sorted(refused)) if one.rpartition("/")[2] == name]
    if not elsewhere:
        return f"no pool {named!r} exists", "name a ModelPool as namespace/name"
    said = f"no pool {name!r} exists in namespace {namespace!r}" if slash else f"{named!r} names no namespace"
    return f"{said}: there is {', '.join(elsewhere[:4])}", f"write {elsewhere[0]}"
