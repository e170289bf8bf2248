"""Policies to routes, in order of precedence."""

from collections.abc import Callable

from pilotage_api.findings import Find, ResourceKey, Severity
from pilotage_api.naming import EVERY_NAMESPACE, Meaning, NameRegistry
from pilotage_api.precedence import WayIn, policy_key, takers, ways_in
from pilotage_api.profile_findings import find_in_override, find_in_profile
from pilotage_api.routepolicy import RoutePolicy
from pilotage_api.snapshot import CandidateModel, PolicyRoute, RuleSnapshot
from pilotage_api.unmatched import unmatched


def compile_policies(
    policies: list[RoutePolicy],
    names: NameRegistry,
    namespaces: frozenset[str],
    installed: frozenset[str],
    find: Find,
) -> tuple[PolicyRoute, ...]:
    """The routes of all policies that the gateway's namespaces hold, in order of precedence."""
    ways: list[WayIn] = []
    meaning_of = _remembered(names)
    for policy in policies:
        key = policy_key(policy)
        if EVERY_NAMESPACE in namespaces or key.namespace in namespaces:
            _find_unreachable_rules(policy, key, find)
            for one in unmatched(policy.spec.match):
                find(Severity.WARNING, one.code, one.message, key, f"spec.match.{one.path}", one.fix)
            if policy.spec.scheduling is not None:
                find_in_profile(policy.spec.scheduling, key, installed, find)
                find_in_override(policy.spec.scheduling, key, find)
            ways += ways_in(policy, _rule(policy, key, meaning_of, find))
        else:
            obeyed = ", ".join(sorted(namespaces))
            message = f"has no effect: this gateway obeys policies of namespace {obeyed} only"
            fix = f"add {key.namespace} to the gateway's namespaces"
            find(Severity.WARNING, "not-obeyed", message, key, "metadata.namespace", fix)
    ways.sort(key=lambda way: way.rank)
    _find_shadowed(ways, find)
    return tuple(way.route for way in ways)


def _remembered(names: NameRegistry) -> Callable[[str, str], Meaning]:
    known: dict[tuple[str, str], Meaning] = {}

    def meaning_of(name: str, namespace: str) -> Meaning:
        found = known.get((name, namespace))
        if found is None:
            found = known[name, namespace] = names.means(name, frozenset((namespace,)))
        return found

    return meaning_of


def _rule(
    policy: RoutePolicy, key: ResourceKey, meaning_of: Callable[[str, str], Meaning], find: Find
) -> RuleSnapshot:
    rule = policy.spec.rules[0]
    candidates = []
    for index, candidate in enumerate(rule.candidates):
        meaning = meaning_of(candidate.model, key.namespace)
        if not meaning.bindings:
            path = f"spec.rules[0].candidates[{index}].model"
            _find_unserved(candidate.model, meaning, key, path, find)
        candidates.append(
            CandidateModel(model=candidate.model, weight=candidate.weight, bindings=meaning.bindings)
        )
    if not any(candidate.bindings for candidate in candidates):
        message = "no candidate is served by any pool: matching requests are answered 503"
        path, fix = "spec.rules[0].candidates", "name a model that a pool serves"
        find(Severity.ERROR, "no-candidates", message, key, path, fix)
    own = policy.spec.scheduling
    return RuleSnapshot(
        name=rule.name or "rules[0]",
        candidates=tuple(candidates),
        scheduling=None if own is None else own.snapshot(),
    )


def _find_unserved(name: str, meaning: Meaning, key: ResourceKey, path: str, find: Find) -> None:
    if meaning.hidden:
        claim = meaning.hidden[0]
        message = f"{name!r} is served by {claim.pool}, which does not let namespace {key.namespace} in"
        fix = f"let it in by allowedNamespaces of {claim.pool}"
        find(Severity.WARNING, "pool-not-visible", message, key, path, fix)
    else:
        message = f"no pool serves {name!r}"
        find(
            Severity.WARNING, "no-such-model", message, key, path, "name a model, alias or adapter of a pool"
        )


def _find_unreachable_rules(policy: RoutePolicy, key: ResourceKey, find: Find) -> None:
    for index in range(1, len(policy.spec.rules)):
        message = "the first rule takes every request; this one is never reached"
        fix = "remove it, or make it the first"
        find(Severity.WARNING, "unreachable-rule", message, key, f"spec.rules[{index}]", fix)


def _find_shadowed(ways: list[WayIn], find: Find) -> None:
    """A policy all of whose ways in are taken by policies before it does nothing: say so."""
    for policy, winners in takers(ways).items():
        taken = [winner for winner in winners if winner is not None]
        if taken and len(taken) == len(winners):
            message = f"never applies: {taken[0]} matches the same requests and comes first"
            fix = "make its match more specific, or remove it"
            find(Severity.WARNING, "shadowed", message, policy, "spec.match", fix)
        elif taken:
            message = f"part of its match never applies: {taken[0]} matches it and comes first"
            fix = "remove what the other policy has"
            find(Severity.WARNING, "partly-shadowed", message, policy, "spec.match", fix)
