"""A policy's rules, compiled in order, and what is odd about them."""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from pilotage_api.calls import is_dropped
from pilotage_api.conditions.check import Checked, check
from pilotage_api.conditions.variables import header_of
from pilotage_api.fallback_findings import compile_fallback, find_unused
from pilotage_api.findings import Find, ResourceKey, Severity
from pilotage_api.idle_objectives import find_unmade_levels
from pilotage_api.keywords import find_in_keywords
from pilotage_api.naming import Meaning, NameRegistry
from pilotage_api.objective_findings import find_in_objective
from pilotage_api.residency import kept, kept_fallback
from pilotage_api.routepolicy import Candidate, RoutePolicy
from pilotage_api.snapshot import CandidateModel, RuleSnapshot
from pilotage_api.timeout_findings import find_in_timeouts
from pilotage_api.transform_compile import find_in_transform, transforms_of


@dataclass(slots=True, frozen=True)
class Names:
    """What the rules of policies can name."""

    registry: NameRegistry
    meaning_of: Callable[[str, str], Meaning]
    """What a model's name means to a namespace."""


_NEVER: Final = "false"
_DROPPED: Final = "the bundled Envoy drops this header of clients, so it is never there"


def compile_rules(
    policy: RoutePolicy, key: ResourceKey, names: Names, find: Find
) -> tuple[RuleSnapshot, ...]:
    """All rules of a policy, in order; those that are never reached too."""
    conditions = [
        None if rule.when is None else check(rule.when, key.namespace, key.name) for rule in policy.spec.rules
    ]
    own = policy.spec.scheduling
    wrong = find_in_keywords(policy.spec.keywords, conditions, key, find)
    transforms = transforms_of(policy, key)
    rules = []
    for index, (rule, condition) in enumerate(zip(policy.spec.rules, conditions, strict=True)):
        path = f"spec.rules[{index}]"
        when, reads = _effective(condition, key, f"{path}.when", names.registry, find)
        candidates = compile_candidates(rule.candidates, path, key, names.meaning_of, find)
        wanted = {} if rule.require is None else dict(sorted(rule.require.pool_labels.items()))
        candidates = kept(candidates, wanted, names.registry.labels_of, key, f"{path}.candidates", find)
        if rule.objective is not None:
            facts = {
                binding: names.registry.facts_of(binding) for one in candidates for binding in one.bindings
            }
            find_in_objective(rule, candidates, facts, key, path, find)
            find_unmade_levels(rule, candidates, facts, transforms, key, path, find)
        fallback = compile_fallback(
            policy, index, candidates, key, names.meaning_of, names.registry, _find_unserved, find
        )
        fallback = kept_fallback(fallback, wanted, names.registry.labels_of, key, f"{path}.fallback", find)
        models = [one.model for one in (*candidates, *(() if fallback is None else fallback.to))]
        rules.append(
            RuleSnapshot(
                name=rule.name or f"rules[{index}]",
                candidates=candidates,
                when=_NEVER if index in wrong else when,
                reads=() if index in wrong else reads,
                sticky_by=None if rule.sticky_by is None else rule.sticky_by.lower(),
                scheduling=None if own is None else own.snapshot(),
                objective=None if rule.objective is None else rule.objective.snapshot(),
                output_budget=None if rule.output_budget is None else rule.output_budget.snapshot(),
                stickiness=None if rule.stickiness is None else float(rule.stickiness.minimum_gain),
                fallback=fallback,
                timeouts=None if rule.timeouts is None else rule.timeouts.snapshot(),
                transforms={model: transforms[model].name for model in models if model in transforms},
                require=wanted,
            )
        )
        find_in_timeouts(rule.timeouts, key, f"{path}.timeouts", find)
    find_unused(policy, key, find)
    find_in_transform(policy, key, find)
    _find_unreachable(policy, rules, conditions, key, find)
    _find_in_headers(policy, key, find)
    return tuple(rules)


def _effective(
    condition: Checked | None, key: ResourceKey, path: str, registry: NameRegistry, find: Find
) -> tuple[str | None, tuple[str, ...]]:
    """The condition that takes effect, and what it reads.

    One that always holds is as none. One that names a pool its policy may not see never holds: figures of
    that pool are not for it.
    """
    if condition is None:
        return None, ()
    hidden = not _finds_only_seen_pools(condition, key, path, registry, find)
    for read in condition.reads:
        header = header_of(read)
        if header is not None and is_dropped(header):
            message, fix = f"{header}: {_DROPPED}", "read a header of your own"
            find(Severity.WARNING, "never-matches", message, key, path, fix)
    if condition.constant:
        return None, ()
    return (_NEVER, ()) if hidden else (condition.text, condition.reads)


def _finds_only_seen_pools(
    condition: Checked, key: ResourceKey, path: str, registry: NameRegistry, find: Find
) -> bool:
    """Tell pools that are not there, or not to be seen; whether all that are there may be seen."""
    all_seen = True
    for use in condition.pools:
        namespace, slash, name = use.pool.rpartition("/")
        pool = ResourceKey("ModelPool", namespace if slash else key.namespace, name)
        place = f"line {use.line}, column {use.column}"
        seen = registry.sees_pool(pool, key.namespace)
        if seen is None:
            near = get_close_matches(pool.name, registry.pool_names(pool.namespace), n=1)
            fix = f"did you mean {near[0]!r}?" if near else "name a ModelPool as name or namespace/name"
            message = f"{place}: no pool {pool.key!r} exists: {use.function} is unknown"
            find(Severity.ERROR, "no-such-pool", message, key, path, fix)
        elif not seen:
            all_seen = False
            message = f"{place}: never holds: {pool} does not let namespace {key.namespace} in"
            fix = f"let it in by allowedNamespaces of {pool}"
            find(Severity.ERROR, "pool-not-visible", message, key, path, fix)
    return all_seen


def compile_candidates(
    given: list[Candidate],
    path: str,
    key: ResourceKey,
    meaning_of: Callable[[str, str], Meaning],
    find: Find,
) -> tuple[CandidateModel, ...]:
    """The candidates of a rule that stands at a path, with the pools that serve them."""
    candidates = []
    for index, candidate in enumerate(given):
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
    elif meaning.refused:
        message = f"{name!r} is a name of {meaning.refused[0]}, which is refused as it stands"
        find(Severity.WARNING, "no-such-model", message, key, path, "correct that pool: see its own findings")
    else:
        message = f"no pool serves {name!r}"
        find(
            Severity.WARNING, "no-such-model", message, key, path, "name a model, alias or adapter of a pool"
        )


def _find_unreachable(
    policy: RoutePolicy,
    rules: list[RuleSnapshot],
    conditions: list[Checked | None],
    key: ResourceKey,
    find: Find,
) -> None:
    """Rules that no request gets to, unless a header may choose them."""
    chosen = () if policy.spec.overrides is None else policy.spec.overrides.rules
    first: dict[bytes, str] = {}
    always: str | None = None
    for index, (rule, condition) in enumerate(zip(rules, conditions, strict=True)):
        path, asked = f"spec.rules[{index}]", rule.name in chosen
        same = None if condition is None else first.setdefault(condition.same_as, rule.name)
        if condition is not None and condition.constant is not None and not asked:
            word, fix = (
                ("always", "remove it") if condition.constant else ("never", "correct it, or remove the rule")
            )
            message = f"{word} holds, whatever the request is"
            find(Severity.WARNING, f"{word}-holds", message, key, f"{path}.when", fix)
        if asked:
            pass
        elif always is not None:
            message = f"rule {always!r} always holds and takes every request; this is never reached"
            fix = "give that rule a when, move this one before it, or remove it"
            find(Severity.WARNING, "unreachable-rule", message, key, path, fix)
        elif same is not None and same != rule.name:
            message = f"rule {same!r} has the same when and comes first; this is never reached"
            find(Severity.WARNING, "unreachable-rule", message, key, path, "change its when, or remove it")
        if rule.when is None and always is None:
            always = rule.name
    if always is not None and policy.spec.otherwise == "next":
        message = f"has no effect: rule {always!r} always holds and takes every request"
        fix = "give that rule a when, or remove otherwise"
        find(Severity.WARNING, "no-effect", message, key, "spec.otherwise", fix)


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
