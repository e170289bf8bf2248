"""Queues and admission bounds that do nothing, or less than they look like."""

from collections.abc import Iterable, Sequence

from pilotage_api.findings import Find, Severity
from pilotage_api.modelpool import ModelPool
from pilotage_api.routepolicy import RoutePolicy
from pilotage_api.snapshot import Engine, PolicyRoute


def find_idle_queues(
    pools: Iterable[ModelPool], policies: Iterable[RoutePolicy], routes: Sequence[PolicyRoute], find: Find
) -> None:
    """Pools whose load nobody knows, and policies none of whose pools has `admission`."""
    bounded = set()
    for pool in pools:
        if pool.spec.admission is None:
            continue
        if pool.spec.external is not None or pool.spec.engine is Engine.OPENAI:
            message = "has no effect: these servers do not show their load, so they always have room"
            fix = "remove it, or set the engine that the servers run"
            find(Severity.WARNING, "no-effect", message, pool.resource_key, "spec.admission", fix)
        else:
            bounded.add(pool.resource_key.key)
    used: dict[str, set[str]] = {}
    for route in routes:
        used.setdefault(route.policy, set()).update(route.pools)
    for policy in policies:
        key = policy.resource_key
        if policy.spec.queue is not None and key.key in used and not used[key.key] & bounded:
            message = "requests wait only while no server is ready: no pool of theirs has admission"
            fix = "set spec.admission.queueDepth in pools, or keep it for servers to come"
            find(Severity.INFO, "no-admission", message, key, "spec.queue", fix)
