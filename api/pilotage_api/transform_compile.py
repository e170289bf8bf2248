"""A policy's transform, compiled: what each model of its rules gets, and what never takes effect."""

from collections.abc import Iterable, Mapping

from pilotage_api.calls import is_under
from pilotage_api.conditions.globs import glob
from pilotage_api.findings import Find, ResourceKey, Severity
from pilotage_api.routepolicy import PathRule, RoutePolicy
from pilotage_api.snapshot import PolicyRoute
from pilotage_api.transform import ModelTransform, Parameters, SystemPrompt, Transform
from pilotage_api.transform_parameters import API_PATHS, NUMBERS, WITH_SYSTEM_PROMPT, Api, member_of
from pilotage_api.transform_snapshot import BoundSnapshot, TransformSnapshot


def transforms_of(policy: RoutePolicy, key: ResourceKey) -> Mapping[str, TransformSnapshot]:
    """What each model gets, as the policy's rules and fallbacks name it; none of those that get nothing.

    Models that are changed alike share one. Names depend on the policy alone.
    """
    transform = policy.spec.transform
    if transform is None:
        return {}
    known: dict[TransformSnapshot, TransformSnapshot] = {}
    found: dict[str, TransformSnapshot] = {}
    for model in _models(policy):
        made = _effective(transform, _entry_of(transform, model))
        if made == TransformSnapshot(name=""):
            continue
        if made not in known:
            known[made] = made.model_copy(update={"name": f"{key.key}/{len(known)}"})
        found[model] = known[made]
    return found


def used_transforms(
    policies: Iterable[tuple[ResourceKey, RoutePolicy]], routes: Iterable[PolicyRoute]
) -> tuple[TransformSnapshot, ...]:
    """Those that a rule of a route names, by name."""
    wanted = {
        name
        for route in routes
        for rule in (*route.rules, *route.instead)
        for name in rule.transforms.values()
    }
    if not wanted:
        return ()
    made = {
        one.name: one
        for key, policy in policies
        for one in transforms_of(policy, key).values()
        if one.name in wanted
    }
    return tuple(made[name] for name in sorted(made))


def find_in_transform(policy: RoutePolicy, key: ResourceKey, find: Find) -> None:
    """Tell what of a transform changes no request."""
    transform = policy.spec.transform
    if transform is None:
        return
    models = _models(policy)
    for index, entry in enumerate(transform.per_model):
        path = f"spec.transform.perModel[{index}]"
        fitting = [model for model in models if _fits(entry, model)]
        if not fitting:
            message = f"{entry.model!r} fits no candidate and no fallback of the policy"
            fix = f"name one of {', '.join(models)}, or remove it"
            find(Severity.WARNING, "no-such-candidate", message, key, f"{path}.model", fix)
        elif all(_entry_of(transform, model) is not entry for model in fitting):
            message = "has no effect: for its models another entry comes first"
            find(Severity.WARNING, "no-effect", message, key, f"{path}.model", "move it up, or remove it")
    calls = _calls(policy.spec.match.paths)
    parts: list[tuple[str, Transform | ModelTransform]] = [("spec.transform", transform)]
    parts += [(f"spec.transform.perModel[{at}]", one) for at, one in enumerate(transform.per_model)]
    for path, part in parts:
        if part.parameters is not None:
            _find_in_parameters(part.parameters, calls, key, f"{path}.parameters", find)
        if part.system_prompt is not None:
            _find_in_prompt(calls, key, f"{path}.systemPrompt", find)


def _models(policy: RoutePolicy) -> list[str]:
    """Those of its rules, fallbacks and spent budgets, each once, in order."""
    found: dict[str, None] = {}
    for rule in policy.spec.rules:
        fallback = rule.fallback or policy.spec.fallback
        found.update(dict.fromkeys(one.model for one in rule.candidates))
        found.update(dict.fromkeys(one.model for one in (() if fallback is None else fallback.to)))
    governance = policy.spec.governance
    for budget in () if governance is None else governance.budgets:
        if budget.when_spent is not None:
            found.update(dict.fromkeys(one.model for one in budget.when_spent.candidates))
    return list(found)


def _fits(entry: ModelTransform, model: str) -> bool:
    return entry.model == model or (bool(set(entry.model) & set("*?")) and glob(model, entry.model))


def _entry_of(transform: Transform, model: str) -> ModelTransform | None:
    """The entry of its exact name, else the first whose glob fits."""
    exact = next((one for one in transform.per_model if one.model == model), None)
    return exact or next((one for one in transform.per_model if _fits(one, model)), None)


def _effective(transform: Transform, entry: ModelTransform | None) -> TransformSnapshot:
    """What a model gets, without a name."""
    prompt: SystemPrompt | None = transform.system_prompt
    if entry is not None and entry.system_prompt is not None:
        prompt = entry.system_prompt
    bounds: dict[str, BoundSnapshot] = {}
    removed: set[str] = set()
    for one in (transform.parameters, None if entry is None else entry.parameters):
        if one is None:
            continue
        for name, given in one.bounds():
            member = member_of(name)
            bounds[member] = BoundSnapshot(
                name=name, minimum=given.minimum, maximum=given.maximum, default=given.default
            )
            removed.discard(member)
        for name in one.remove:
            bounds.pop(name, None)
            removed.add(name)
    return TransformSnapshot(
        name="",
        prefix=None if prompt is None else prompt.prefix,
        suffix=None if prompt is None else prompt.suffix,
        replace=None if prompt is None else prompt.replace,
        bounds=tuple(bounds[name] for name in sorted(bounds)),
        remove=tuple(sorted(removed)),
    )


def _calls(paths: list[PathRule]) -> frozenset[Api]:
    """The calls that a policy's paths let in."""
    if not paths:
        return frozenset(Api)
    return frozenset(
        api
        for api, path in API_PATHS.items()
        if any(is_under(path, rule.value) if rule.type == "Prefix" else path == rule.value for rule in paths)
    )


def _find_in_parameters(
    parameters: Parameters, calls: frozenset[Api], key: ResourceKey, path: str, find: Find
) -> None:
    for name, _ in parameters.bounds():
        having = NUMBERS[name].calls
        if not calls & having:
            where = ", ".join(API_PATHS[api] for api in sorted(having))
            message = f"has no effect: of the calls that have it ({where}) the policy matches none"
            fix = "match one of them, or remove it"
            find(Severity.WARNING, "no-effect", message, key, f"{path}.{name}", fix)


def _find_in_prompt(calls: frozenset[Api], key: ResourceKey, path: str, find: Find) -> None:
    if not calls & WITH_SYSTEM_PROMPT:
        message = "has no effect: no call that the policy matches has a system prompt"
        find(Severity.WARNING, "no-effect", message, key, path, "match a chat call, or remove it")
    elif Api.COMPLETIONS in calls:
        message = f"{API_PATHS[Api.COMPLETIONS]} has no system prompt: requests there go without it"
        fix = "give match.paths, where clients must not go round it"
        find(Severity.INFO, "no-system-prompt", message, key, path, fix)
