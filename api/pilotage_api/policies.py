"""Policies to routes, in order of precedence."""

from collections.abc import Callable
from dataclasses import replace

from pilotage_api.compiled_policies import CompiledPolicies, CompiledPolicy, Surroundings, Told
from pilotage_api.findings import Find, ResourceKey, Severity
from pilotage_api.floor import find_outranked
from pilotage_api.governance_rules import Governed, Spending, compile_governance
from pilotage_api.guard_findings import compile_guards
from pilotage_api.naming import EVERY_NAMESPACE, Meaning, NameRegistry
from pilotage_api.precedence import WayIn, takers, ways_in
from pilotage_api.profile_findings import find_in_override, find_in_profile
from pilotage_api.residency import kept
from pilotage_api.routepolicy import Candidate, RoutePolicy
from pilotage_api.rules import Names, compile_candidates, compile_rules
from pilotage_api.snapshot import CandidateModel, PolicyRoute, RuleSnapshot
from pilotage_api.transform_compile import transforms_of
from pilotage_api.unmatched import unmatched


def compile_policies(
    policies: list[RoutePolicy],
    names: NameRegistry,
    around: Surroundings,
    find: Find,
    *,
    refusing: list[WayIn],
    earlier: CompiledPolicies,
) -> tuple[tuple[PolicyRoute, ...], CompiledPolicies]:
    """The routes of all policies that the gateway's namespaces hold, in order of precedence.

    `names` are those of `around`. `refusing` are ways that refuse what they match, beside those of policies;
    with a governance floor policies that come after a laxer one are told. What `earlier` has of a policy is
    used again where it still holds; what this time gave is to be handed in the next time.
    """
    before, made = earlier.among(around), {}
    nameable = Names(names, _remembered(names))
    spending = Spending.of(around.settings.governance.store, around.pools)
    ways = list(refusing)
    for policy in policies:
        one = before.of(policy) or _compiled(policy, nameable, around, spending)
        made[policy.resource_key] = one
        one.tell(find)
        ways += one.ways
    ways.sort(key=lambda way: way.rank)
    _find_shadowed(ways, find)
    if around.settings.governance.floor:
        find_outranked(ways, find)
    return tuple([way.route for way in ways]), CompiledPolicies(around, made)


def _compiled(policy: RoutePolicy, names: Names, around: Surroundings, spending: Spending) -> CompiledPolicy:
    key, namespaces, told = policy.resource_key, frozenset(around.settings.namespaces), []

    def find(severity: Severity, code: str, message: str, key: ResourceKey, path: str, fix: str) -> None:
        told.append(Told(severity, code, message, key, path, fix))

    ways: list[WayIn] = []
    if EVERY_NAMESPACE in namespaces or key.namespace in namespaces:
        for one in unmatched(policy.spec.match):
            find(Severity.WARNING, one.code, one.message, key, f"spec.match.{one.path}", one.fix)
        if policy.spec.scheduling is not None:
            find_in_profile(policy.spec.scheduling, key, around.installed, find)
            find_in_override(policy.spec.scheduling, key, find)
        rules = compile_rules(policy, key, names, find)
        ways = ways_in(policy, rules, _governed(policy, rules, names, spending, find))
    else:
        obeyed = ", ".join(sorted(namespaces))
        message = f"has no effect: this gateway obeys policies of namespace {obeyed} only"
        fix = f"add {key.namespace} to the gateway's namespaces"
        find(Severity.WARNING, "not-obeyed", message, key, "metadata.namespace", fix)
    return CompiledPolicy(policy, tuple(ways), tuple(told))


def _governed(
    policy: RoutePolicy, rules: tuple[RuleSnapshot, ...], names: Names, spending: Spending, find: Find
) -> Governed:
    key = policy.resource_key

    def candidates(models: list[str], path: str) -> tuple[CandidateModel, ...]:
        given = [Candidate(model=model) for model in models]
        found = compile_candidates(given, path, key, names.meaning_of, find)
        for rule in rules:  # whichever it stands in for
            found = kept(found, rule.require, names.registry.labels_of, key, f"{path}.candidates", find)
        return found

    governance = policy.spec.governance
    governed = compile_governance(
        governance, rules, candidates, spending, key, find, transforms_of(policy, key)
    )
    if governance is None:
        return governed
    return replace(governed, guards=compile_guards(governance.content, governance.tools, key, find))


def _remembered(names: NameRegistry) -> Callable[[str, str], Meaning]:
    known: dict[tuple[str, str], Meaning] = {}

    def meaning_of(name: str, namespace: str) -> Meaning:
        found = known.get((name, namespace))
        if found is None:
            found = known[name, namespace] = names.means(name, frozenset((namespace,)))
        return found

    return meaning_of


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
