"""A policy's rules, compiled in order, and what is odd about them."""

from collections.abc import Callable
from typing import Final

from pilotage_api.calls import is_dropped
from pilotage_api.findings import Find, ResourceKey, Severity
from pilotage_api.naming import Meaning
from pilotage_api.routepolicy import RoutePolicy, Rule
from pilotage_api.snapshot import CandidateModel, RuleSnapshot

MeaningOf = Callable[[str, str], Meaning]
"""What a name means to a namespace."""
_DROPPED: Final = "the bundled Envoy drops this header of clients, so it is never there"


def compile_rules(
    policy: RoutePolicy, key: ResourceKey, meaning_of: MeaningOf, find: Find
) -> tuple[RuleSnapshot, ...]:
    """All rules of a policy, in order; those that are never reached too."""
    rules = tuple(_rule(policy, index, key, meaning_of, find) for index in range(len(policy.spec.rules)))
    _find_unreachable(policy, rules, key, find)
    _find_in_headers(policy, key, find)
    return rules


def _rule(
    policy: RoutePolicy, index: int, key: ResourceKey, meaning_of: MeaningOf, find: Find
) -> RuleSnapshot:
    rule, path = policy.spec.rules[index], f"spec.rules[{index}]"
    own = policy.spec.scheduling
    return RuleSnapshot(
        name=rule.name or f"rules[{index}]",
        candidates=_candidates(rule, path, key, meaning_of, find),
        when=rule.when,
        sticky_by=None if rule.sticky_by is None else rule.sticky_by.lower(),
        scheduling=None if own is None else own.snapshot(),
    )


def _candidates(
    rule: Rule, path: str, key: ResourceKey, meaning_of: MeaningOf, find: Find
) -> tuple[CandidateModel, ...]:
    candidates = []
    for index, candidate in enumerate(rule.candidates):
        meaning = meaning_of(candidate.model, key.namespace)
        if not meaning.bindings:
            _find_unserved(candidate.model, meaning, key, f"{path}.candidates[{index}].model", find)
        candidates.append(
            CandidateModel(model=candidate.model, weight=candidate.weight, bindings=meaning.bindings)
        )
    if not any(candidate.bindings for candidate in candidates):
        message = "no candidate is served by any pool: matching requests are answered 503"
        fix = "name a model that a pool serves"
        find(Severity.ERROR, "no-candidates", message, key, f"{path}.candidates", fix)
    return tuple(candidates)


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


def _find_unreachable(
    policy: RoutePolicy, rules: tuple[RuleSnapshot, ...], key: ResourceKey, find: Find
) -> None:
    """Rules behind one that always holds, unless a header may choose them."""
    chosen = () if policy.spec.overrides is None else policy.spec.overrides.rules
    always = next((index for index, rule in enumerate(rules) if rule.when is None), None)
    if always is None:
        return
    for index in range(always + 1, len(rules)):
        if rules[index].name not in chosen:
            message = (
                f"rule {rules[always].name!r} has no when and takes every request; this is never reached"
            )
            fix = "give that rule a when, move this one before it, or remove it"
            find(Severity.WARNING, "unreachable-rule", message, key, f"spec.rules[{index}]", fix)
    if policy.spec.otherwise == "next":
        message = f"has no effect: rule {rules[always].name!r} has no when and takes every request"
        find(
            Severity.WARNING,
            "no-effect",
            message,
            key,
            "spec.otherwise",
            "give that rule a when, or remove it",
        )


def _find_in_headers(policy: RoutePolicy, key: ResourceKey, find: Find) -> None:
    """Headers that never arrive, and those that nothing depends on."""
    overrides = policy.spec.overrides
    if overrides is not None:
        path, name = "spec.overrides.header", overrides.header.lower()
        values = [one.value for one in policy.spec.match.headers if one.name.lower() == name]
        if is_dropped(name):
            find(Severity.WARNING, "never-matches", _DROPPED, key, path, "name a header of your own")
        elif values and values[0] is not None:
            for index, rule in enumerate(overrides.rules):
                if rule != values[0]:
                    message = f"is never chosen: the policy matches only {overrides.header}: {values[0]}"
                    at, fix = f"spec.overrides.rules[{index}]", "match the header without a value"
                    find(Severity.WARNING, "unreachable-override", message, key, at, fix)
    for index, one in enumerate(policy.spec.rules):
        path = f"spec.rules[{index}].stickyBy"
        if one.sticky_by is None:
            continue
        if is_dropped(one.sticky_by.lower()):
            find(Severity.WARNING, "never-matches", _DROPPED, key, path, "name a header of your own")
        elif len(one.candidates) == 1 or one.candidates[0].weight is None:
            message, fix = "has no effect: nothing is drawn by weight", "weigh the candidates, or remove it"
            find(Severity.WARNING, "no-effect", message, key, path, fix)
