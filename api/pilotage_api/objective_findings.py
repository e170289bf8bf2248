"""What is odd about objectives: facts that are missing, bounds that nobody keeps, curves that fall."""

from collections.abc import Sequence
from itertools import pairwise

from pilotage_api.facts_snapshot import ModelSnapshot, QualitySnapshot
from pilotage_api.findings import Find, ResourceKey, Severity
from pilotage_api.idle_objectives import find_idle
from pilotage_api.modelpool import ModelPool
from pilotage_api.routepolicy import RoutePolicy, Rule
from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import Binding, CandidateModel


def find_in_objective(
    rule: Rule,
    candidates: Sequence[CandidateModel],
    facts: dict[Binding, ModelSnapshot | None],
    key: ResourceKey,
    path: str,
    find: Find,
) -> None:
    """Tell what a rule's objective asks for and its candidates' pools do not say or cannot give."""
    objective = rule.objective
    if objective is None:
        return
    weights, ceilings = objective.weights, objective.ceilings
    by_cost = weights.cost or (ceilings is not None and ceilings.usd_per_request is not None)
    by_quality = weights.quality or objective.floor is not None
    for index, candidate in enumerate(candidates):
        at = f"{path}.candidates[{index}].model"
        for binding in candidate.bindings:
            known = facts[binding]
            where = f"{candidate.model!r} in {binding.pool}"
            if by_cost and (known is None or known.pricing is None):
                message = f"{where} has no prices: a request there counts as references.usd"
                find(Severity.WARNING, "prices-missing", message, key, at, "set pricing in its spec.models[]")
            if by_quality and (known is None or known.quality is None):
                message = f"{where} has no quality: it counts as 0.5"
                find(
                    Severity.WARNING, "quality-missing", message, key, at, "set quality in its spec.models[]"
                )
            _find_in_levels(rule, known, where, key, f"{path}.outputBudget", find)
    _find_in_floor(rule, candidates, facts, key, f"{path}.objective.floor.quality", find)
    find_idle(objective, key, f"{path}.objective", find)


def find_falling_curves(pool: ModelPool, key: ResourceKey, find: Find) -> None:
    """Curves under `clamp` by which a longer answer is worse: more often a typing error than measured."""
    for number, model in enumerate(pool.spec.models):
        for index, curve in enumerate(() if model.quality is None else model.quality.by_budget):
            falls = any(float(after.quality) < float(one.quality) for one, after in pairwise(curve.points))
            if falls and curve.enforce == "clamp":
                message = "quality falls as the budget grows: a cut answer would be better than a whole one"
                at = f"spec.models[{number}].quality.byBudget[{index}].points"
                find(Severity.WARNING, "falling-curve", message, key, at, "measure it again, or correct it")


def _find_in_levels(
    rule: Rule, known: ModelSnapshot | None, where: str, key: ResourceKey, path: str, find: Find
) -> None:
    budget = rule.output_budget
    if budget is None:
        return
    curves = () if known is None or known.quality is None else known.quality.by_budget
    if len(budget.levels) > 1 and not any(curve.enforce == budget.enforce for curve in curves):
        message = f"{where} has no quality by budget for enforce: {budget.enforce}"
        message += ": it is offered the highest level alone"
        find(Severity.WARNING, "curve-missing", message, key, path, "set byBudget in its quality")
    most = None if known is None else known.max_output_tokens
    if most is not None and min(budget.levels) > most:
        message = f"every level is more than {where} can make: its maxOutputTokens is {most}"
        find(Severity.WARNING, "no-effect", message, key, f"{path}.levels", f"name a level up to {most}")
    capable = () if known is None else known.capabilities or ()
    if budget.enforce == "clamp" and "reasoning" in capable:
        message = f"{where} reasons, and clamp never cuts that: it has no levels"
        find(Severity.INFO, "never-clamped", message, key, path, "use enforce: instruct for it")


def _find_in_floor(
    rule: Rule,
    candidates: Sequence[CandidateModel],
    facts: dict[Binding, ModelSnapshot | None],
    key: ResourceKey,
    path: str,
    find: Find,
) -> None:
    floor = None if rule.objective is None else rule.objective.floor
    if floor is None:
        return
    best = {
        candidate.model: max((_best_quality(facts[one]) for one in candidate.bindings), default=0.0)
        for candidate in candidates
    }
    if not any(quality >= float(floor.quality) for quality in best.values()):
        message = f"no candidate reaches it: the best has {max(best.values(), default=0):g}"
        find(Severity.ERROR, "floor-not-reached", message, key, path, "lower it, or add a better model")
        return
    for model, quality in best.items():
        if quality < float(floor.quality) and rule.objective is not None and not rule.objective.strong_gain:
            message = f"{model!r} never reaches it: its best is {quality:g}"
            find(Severity.WARNING, "floor-not-reached", message, key, path, "lower it, or remove the model")


def _best_quality(known: ModelSnapshot | None) -> float:
    quality = None if known is None else known.quality
    return 0.5 if quality is None else max(_qualities(quality))


def _qualities(quality: QualitySnapshot) -> list[float]:
    points = [point.quality for curve in quality.by_budget for point in curve.points]
    return [quality.default, *quality.domains.values(), *points]


def find_unlabelled_gains(policies: Sequence[RoutePolicy], settings: GatewaySettings, find: Find) -> None:
    """Rules that count a prompt's expected gain where nothing tells it, or only weights of other models."""
    told = settings.prompt_features
    by_remote = told.remote is not None and "strongGain" in told.remote.provides
    own = told.gain_file is not None or bool(told.predictors) or by_remote
    if own:
        return
    for policy in policies:
        for index, rule in enumerate(policy.spec.rules):
            if rule.objective is None or rule.objective.strong_gain is None:
                continue
            key = ResourceKey("RoutePolicy", policy.metadata.namespace, policy.metadata.name)
            path = f"spec.rules[{index}].objective.strongGain"
            fix = "fit your own labels (pilotage eval train), and name the file in promptFeatures.gainFile"
            if told.shipped_gain is None:
                message = "no labels: prompt.strongGain is unknown, so the models' own qualities are used"
                find(Severity.WARNING, "gain-without-labels", message, key, path, fix)
            else:
                message = f"the shipped weights know {told.shipped_gain} and no other models"
                find(Severity.INFO, "gain-of-other-models", message, key, path, fix)
