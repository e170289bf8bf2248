"""Tenants, compiled: of several with one name the oldest counts, and one that is wrong serves nobody."""

from pilotage_api.findings import Find, ResourceKey, Severity
from pilotage_api.governance_rules import find_not_kept
from pilotage_api.governance_snapshot import GovernanceSnapshot
from pilotage_api.in_force import InForce
from pilotage_api.load import Loaded
from pilotage_api.naming import EVERY_NAMESPACE, NameRegistry
from pilotage_api.precedence import is_glob
from pilotage_api.settings import GatewaySettings
from pilotage_api.tenant import Tenant
from pilotage_api.tenant_snapshot import TenantSnapshot

NEEDS_STORE = "a hard budget needs governance.store.valkey"


def compile_tenants(
    tenants: list[Tenant],
    loaded: Loaded,
    in_force: InForce,
    names: NameRegistry,
    settings: GatewaySettings,
    find: Find,
) -> tuple[TenantSnapshot, ...]:
    """The tenants of the gateway's namespaces; `tenants` come oldest first."""
    found: dict[str, TenantSnapshot] = {}
    for tenant in tenants:
        key = tenant.resource_key
        if not _obeyed(key, settings):
            obeyed = ", ".join(sorted(settings.namespaces))
            message = f"has no effect: this gateway obeys tenants of namespace {obeyed} only"
            fix = f"add {key.namespace} to the gateway's namespaces"
            find(Severity.WARNING, "not-obeyed", message, key, "metadata.namespace", fix)
        elif key.name in found:
            message = f"another Tenant {key.name}, {found[key.name].key}, is older or comes first by name"
            find(Severity.ERROR, "name-conflict", message, key, "metadata.name", "use another name")
        else:
            found[key.name] = _snapshot(tenant, key, settings, find)
            _find_odd(tenant, key, names, settings, find)
    for key in sorted(loaded.refused):
        if (
            key.kind == "Tenant"
            and key not in in_force.resources
            and key.name not in found
            and _obeyed(key, settings)
        ):
            why = "its resource is invalid"
            found[key.name] = TenantSnapshot(name=key.name, key=key.key, unenforceable=why)
    return tuple(one for _, one in sorted(found.items()))


def _obeyed(key: ResourceKey, settings: GatewaySettings) -> bool:
    return EVERY_NAMESPACE in settings.namespaces or key.namespace in settings.namespaces


def _snapshot(tenant: Tenant, key: ResourceKey, settings: GatewaySettings, find: Find) -> TenantSnapshot:
    spec = tenant.spec
    governance = None
    unkept = None
    if spec.limits or spec.budgets:
        hard = [index for index, budget in enumerate(spec.budgets) if budget.mode == "hard"]
        if hard and settings.governance.store.valkey is None:
            unkept = NEEDS_STORE
            message = "a hard budget needs one place that all pickers count at: until then its requests are"
            message += " answered 503"
            fix = "set governance.store.valkey, or mode: soft"
            find(Severity.ERROR, "needs-store", message, key, f"spec.budgets[{hard[0]}].mode", fix)
        else:
            find_not_kept(spec.budgets, settings.governance.store, key, "spec.budgets", find)
        governance = GovernanceSnapshot(
            limits=tuple(limit.snapshot() for limit in spec.limits),
            budgets=tuple(budget.snapshot(None) for budget in spec.budgets),
        )
    return TenantSnapshot(
        name=key.name,
        key=key.key,
        teams=tuple(spec.teams),
        models=tuple(spec.models),
        weight=spec.weight,
        priority=spec.priority,
        governance=governance,
        unenforceable=unkept,
    )


def _find_odd(
    tenant: Tenant, key: ResourceKey, names: NameRegistry, settings: GatewaySettings, find: Find
) -> None:
    if settings.governance.identity is None:
        message = "has no effect: the gateway does not ask who its clients are"
        fix = "set governance.identity of the settings"
        find(Severity.WARNING, "no-effect", message, key, "spec", fix)
    known = set(names)
    for index, model in enumerate(tenant.spec.models):
        if not is_glob(model) and model not in known and not settings.governance.refuses_unmatched:
            message = f"no pool has a model {model!r}; a policy may match it"
            find(Severity.INFO, "unknown-model", message, key, f"spec.models[{index}]", "check its spelling")
