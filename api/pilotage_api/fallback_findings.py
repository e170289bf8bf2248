"""A rule's fallback, compiled, and what of it never takes effect."""

from collections.abc import Callable

from pilotage_api.fallback import Fallback, FallbackReason
from pilotage_api.fallback_needs import find_unable
from pilotage_api.findings import Find, ResourceKey, Severity
from pilotage_api.naming import Meaning, NameRegistry
from pilotage_api.routepolicy import RoutePolicy, Rule
from pilotage_api.snapshot import CandidateModel, FallbackSnapshot

_MeaningOf = Callable[[str, str], Meaning]
_Unserved = Callable[[str, Meaning, ResourceKey, str, Find], None]


def compile_fallback(
    policy: RoutePolicy,
    index: int,
    candidates: tuple[CandidateModel, ...],
    key: ResourceKey,
    meaning_of: _MeaningOf,
    registry: NameRegistry,
    find_unserved: _Unserved,
    find: Find,
) -> FallbackSnapshot | None:
    """The fallback of a rule: its own, else the policy's; without models that lead nowhere new.

    What is odd about the policy's is said for the first rule that it holds for.
    """
    rule = policy.spec.rules[index]
    fallback = rule.fallback or policy.spec.fallback
    if fallback is None:
        return None
    first = next((at for at, one in enumerate(policy.spec.rules) if one.fallback is None), None)
    tell = find if rule.fallback is not None or index == first else _untold
    path = "spec.fallback" if rule.fallback is None else f"spec.rules[{index}].fallback"
    to = _models(fallback, candidates, path, key, meaning_of, find_unserved, tell)
    governance = policy.spec.governance
    counts_models = governance is not None and any(one.per == "model" for one in governance.budgets)
    _find_in_reasons(fallback, rule, path, key, tell, counts_models=counts_models)
    find_unable(candidates, to, fallback, registry, key, path, tell)
    if not to:
        message = "leads nowhere: none of its models is served by anything but the candidates"
        tell(Severity.WARNING, "unreachable-fallback", message, key, f"{path}.to", "name another model")
        return None
    return FallbackSnapshot(reasons=tuple(sorted(fallback.reasons)), to=to)


def find_unused(policy: RoutePolicy, key: ResourceKey, find: Find) -> None:
    """A policy's fallback that no rule follows."""
    if policy.spec.fallback is not None and all(one.fallback is not None for one in policy.spec.rules):
        message, fix = "has no effect: every rule has its own fallback", "remove it"
        find(Severity.WARNING, "no-effect", message, key, "spec.fallback", fix)


def _models(
    fallback: Fallback,
    candidates: tuple[CandidateModel, ...],
    path: str,
    key: ResourceKey,
    meaning_of: _MeaningOf,
    find_unserved: _Unserved,
    find: Find,
) -> tuple[CandidateModel, ...]:
    """Those that lead to servers or models that nothing before them does."""
    found: list[CandidateModel] = []
    for index, one in enumerate(fallback.to):
        at = f"{path}.to[{index}].model"
        meaning = meaning_of(one.model, key.namespace)
        made = CandidateModel(model=one.model, weight=None, bindings=meaning.bindings)
        before = next((other for other in (*candidates, *found) if _alike(made, other)), None)
        if not made.bindings:
            find_unserved(one.model, meaning, key, at, find)
        elif before is not None:
            same = "the same" if before.model == one.model else f"the same as {before.model!r}"
            message = f"{one.model!r} is {same}, which was tried before: falling back to it goes in a circle"
            find(Severity.WARNING, "fallback-cycle", message, key, at, "name another model, or remove it")
        else:
            found.append(made)
    return tuple(found)


def _alike(one: CandidateModel, other: CandidateModel) -> bool:
    """Whether they are asked for alike, wherever either is served."""
    theirs = {(binding.pool, binding.upstream_model) for binding in other.bindings}
    return one.model == other.model or (
        bool(one.bindings) and all((own.pool, own.upstream_model) in theirs for own in one.bindings)
    )


def _find_in_reasons(
    fallback: Fallback, rule: Rule, path: str, key: ResourceKey, find: Find, *, counts_models: bool
) -> None:
    for index, reason in enumerate(fallback.reasons):
        message = fix = ""
        if reason is FallbackReason.FIRST_TOKEN and not _bounds_attempts(rule):
            message, fix = (
                "never happens: the rule has no timeouts.firstToken, and no timeouts.total to share out",
                "set one, or remove the reason",
            )
        elif reason is FallbackReason.BUDGET and not counts_models:
            message, fix = (
                "happens only where a tenant has a budget per model: this policy has none",
                "add a budget with per: model, or remove the reason",
            )
        if message:
            find(Severity.WARNING, "no-effect", message, key, f"{path}.reasons[{index}]", fix)


def _bounds_attempts(rule: Rule) -> bool:
    """Whether an attempt can be late: a stream's first token, or another answer's share of the whole time."""
    times = rule.timeouts
    return times is not None and (
        times.first_token is not None or times.total is not None or times.client_may_shorten is True
    )


def _untold(severity: Severity, code: str, message: str, key: ResourceKey, path: str, fix: str) -> None:
    """The same was told of an earlier rule."""
