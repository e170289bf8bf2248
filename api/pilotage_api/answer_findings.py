"""Rules on answers that cannot be kept with the gateway's settings: their requests are refused."""

from collections.abc import Iterable

from pilotage_api.findings import Find, ResourceKey, Severity
from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import PolicyRoute

_WHY = (
    "with failOpenPool answers go on unchecked when their picker ends, and rules on answers could not be kept"
)


def refuse_unkept_answers(
    routes: Iterable[PolicyRoute], settings: GatewaySettings, find: Find
) -> tuple[PolicyRoute, ...]:
    """The ways into policies; those whose rules on answers cannot be kept refuse what they match."""
    if settings.fail_open_pool is None:
        return tuple(routes)
    kept, told = [], set[str]()
    for route in routes:
        guards = route.guards
        if guards is None or not any(rule.action != "flag" for rule in guards.answers):
            kept.append(route)
            continue
        if route.policy not in told:
            told.add(route.policy)
            namespace, _, name = route.policy.partition("/")
            key = ResourceKey("RoutePolicy", namespace, name)
            message = f"{_WHY}: its requests are answered 503"
            fix = "remove failOpenPool from the settings, or set action: flag"
            find(Severity.ERROR, "not-enforceable", message, key, "spec.governance.content.response", fix)
        refusing = guards.model_copy(update={"unenforceable": guards.unenforceable or _WHY})
        kept.append(route.model_copy(update={"guards": refusing}))
    return tuple(kept)
