"""What keeps remote guards from being asked: hosts that are not listed, and rules that stay elsewhere."""

from collections.abc import Iterable

from pilotage_api.findings import Find, Severity
from pilotage_api.guard_hosts import GuardHost, host_problem, residency_problem
from pilotage_api.naming import EVERY_NAMESPACE
from pilotage_api.remote_guard import RemoteGuard
from pilotage_api.routepolicy import RoutePolicy
from pilotage_api.settings import GatewaySettings


def find_in_remote_guards(
    policies: Iterable[RoutePolicy], settings: GatewaySettings, *, in_cluster: bool, find: Find
) -> None:
    """Tell what pickers refuse, or leave out, by the same settings."""
    known = settings.governance.content.guards
    for policy in policies:
        governance = policy.spec.governance
        obeyed = {EVERY_NAMESPACE, policy.metadata.namespace} & set(settings.namespaces)
        if governance is None or governance.content is None or not obeyed:
            continue
        for index, guard in enumerate(governance.content.remote):
            path = f"spec.governance.content.remote[{index}]"
            _find_in_guard(policy, guard, path, known, in_cluster=in_cluster, find=find)


def _find_in_guard(
    policy: RoutePolicy,
    guard: RemoteGuard,
    path: str,
    known: tuple[GuardHost, ...],
    *,
    in_cluster: bool,
    find: Find,
) -> None:
    refuses = guard.on_error == "refuse"
    severity = Severity.ERROR if refuses else Severity.WARNING
    then = "its requests are answered 503" if refuses else "it is not asked"
    wrong = host_problem(guard.url, known, in_cluster=in_cluster)
    if wrong:
        fix = "list the host in governance.content.guards of the gateway's settings"
        find(Severity.ERROR, "host-not-allowed", f"{wrong}: {then}", policy.resource_key, f"{path}.url", fix)
        return
    for place, rule in enumerate(policy.spec.rules):
        wanted = {} if rule.require is None else rule.require.pool_labels
        outside = residency_problem(guard.url, known, wanted)
        if outside:
            message = f"{outside} (rules[{place}]): {then}"
            fix = "label the host in governance.content.guards, or ask a guard that has the labels"
            find(severity, "guard-outside", message, policy.resource_key, f"{path}.url", fix)
