"""A proof over what will run: no request of a rule that requires labels can reach a pool without them.

It reads the snapshot that pickers follow and the gateway's settings, and trusts nothing that compiling did
before: candidates, fallbacks, what stands in for a spent budget, the pool for times without a picker, and
servers that two pools call theirs.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pilotage_api.findings import Find, ResourceKey, Severity
from pilotage_api.load import SETTINGS_KEY
from pilotage_api.residency import fits
from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import PolicyRoute, RoutingSnapshot, RuleSnapshot


class Breach(NamedTuple):
    """A pool that a request may reach, and must not."""

    policy: str
    rule: str
    by: str
    """`candidates`, `fallback` or `whenSpent`."""
    pool: str


def breaches(snapshot: RoutingSnapshot) -> Iterator[Breach]:
    """Every way out of the labels that rules require; none, or compiling is wrong."""
    labels = {pool.key: pool.labels for pool in snapshot.pools}
    seen: set[str] = set()
    for route in snapshot.routes:
        if route.policy in seen:
            continue
        seen.add(route.policy)
        for rule in route.rules:
            if rule.require:
                for by, pool in _reached(route, rule):
                    # one that is not in the snapshot has no servers to send anything to
                    if pool in labels and not fits(labels[pool], rule.require):
                        yield Breach(route.policy, rule.name, by, pool)


def _reached(route: PolicyRoute, rule: RuleSnapshot) -> Iterator[tuple[str, str]]:
    """Pools that requests of a rule may be sent to, and by which way."""
    ways = {
        "candidates": rule.candidates,
        "fallback": () if rule.fallback is None else rule.fallback.to,
        "whenSpent": tuple(one for instead in route.instead for one in instead.candidates),
    }
    for instead in route.instead:
        ways["fallback"] += () if instead.fallback is None else instead.fallback.to
    for by, models in ways.items():
        for pool in dict.fromkeys(binding.pool for model in models for binding in model.bindings):
            yield by, pool


def kept_out_of_fail_open(snapshot: RoutingSnapshot, pool: str) -> tuple[str, ...]:
    """Rules (`policy rule`) whose requests a pool must not get while no picker is there; sorted."""
    labels: Mapping[str, str] = next((one.labels for one in snapshot.pools if one.key == pool), {})
    kept_out = {
        f"{route.policy} {rule.name}"
        for route in snapshot.routes
        for rule in route.rules
        if rule.require and not fits(labels, rule.require)
    }
    return tuple(sorted(kept_out))


def find_breaches(snapshot: RoutingSnapshot, settings: GatewaySettings, find: Find) -> None:
    """Tell each of them, and what serves requests that nobody has looked at."""
    for one in breaches(snapshot):
        namespace, _, name = one.policy.partition("/")
        message = f"requests of {one.rule} could reach {one.pool} by {one.by}, which has not its labels"
        key = ResourceKey("RoutePolicy", namespace, name)
        find(Severity.ERROR, "residency-broken", message, key, "spec.rules", "report this as a defect")
    pool = settings.fail_open_pool
    if pool is not None and (rules := kept_out_of_fail_open(snapshot, pool)):
        message = f"{pool} has not the labels that {rules[0]} requires: it gets no request"
        fix = "label the pool, name another one, or remove failOpenPool"
        find(Severity.ERROR, "fail-open-outside", message, SETTINGS_KEY, "spec.failOpenPool", fix)
    _find_shared_servers(snapshot, find)
    _find_unguarded(snapshot, settings, find)


def _find_shared_servers(snapshot: RoutingSnapshot, find: Find) -> None:
    """Servers of two pools of which one has the labels that rules require, and the other has not."""
    wanted = [dict(one) for one in {tuple(sorted(rule.require.items())) for rule in _rules(snapshot)} if one]
    owners: dict[tuple[str, int], list[str]] = {}
    for pool in snapshot.pools:
        for endpoint in pool.endpoints:
            owners.setdefault((endpoint.address, endpoint.port), []).append(pool.key)
    labels = {pool.key: pool.labels for pool in snapshot.pools}
    for (address, port), pools in owners.items():
        for required in wanted if len(pools) > 1 else ():
            inside = [pool for pool in pools if fits(labels[pool], required)]
            if inside and len(inside) < len(pools):
                other = next(pool for pool in pools if pool not in inside)
                namespace, _, name = inside[0].partition("/")
                message = (
                    f"{address}:{port} is a server of {other} too, which has not the labels of this pool"
                )
                key = ResourceKey("ModelPool", namespace, name)
                fix = "give both pools the same labels, or take the server out of one"
                find(Severity.WARNING, "labels-differ", message, key, "spec.endpoints", fix)
                break


def _rules(snapshot: RoutingSnapshot) -> Iterator[RuleSnapshot]:
    return (rule for route in snapshot.routes for rule in route.rules)


def _find_unguarded(snapshot: RoutingSnapshot, settings: GatewaySettings, find: Find) -> None:
    """Settings that serve requests nobody has looked at, where policies or the gateway look at content."""
    content = settings.governance.content
    actions = [*(one.action for one in content.request), *(one.action for one in content.response)]
    strict = any(one != "flag" for one in actions)
    for route in snapshot.routes:
        guards = route.guards
        strict |= guards is not None and (
            bool(guards.remote) or any(one.action != "flag" for one in guards.content)
        )
    if not strict:
        return
    round_it = {
        "spec.failOpenPool": settings.fail_open_pool,
        "spec.otherBodies.pool": settings.other_bodies.pool if _forwards(settings) else None,
    }
    for path, pool in round_it.items():
        if pool is not None:
            message = (
                f"requests that go to {pool} by it are not looked at: content rules do not hold for them"
            )
            fix = "remove it where content must be looked at"
            find(Severity.WARNING, "gets-round", message, SETTINGS_KEY, path, fix)


def _forwards(settings: GatewaySettings) -> bool:
    return settings.other_bodies.action == "forward"
