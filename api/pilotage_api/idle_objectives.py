"""What of an objective and its output budget has no effect: nothing reads it, or nothing can reach it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pilotage_api.facts_snapshot import ModelSnapshot
from pilotage_api.findings import Find, ResourceKey, Severity
from pilotage_api.objective import Objective
from pilotage_api.routepolicy import Rule
from pilotage_api.snapshot import Binding, CandidateModel
from pilotage_api.transform_parameters import OUTPUT_LIMIT
from pilotage_api.transform_snapshot import TransformSnapshot


class _Most(NamedTuple):
    """Tokens of output that a candidate makes at most, and what says so."""

    tokens: int
    by: str


def find_idle(objective: Objective, key: ResourceKey, path: str, find: Find) -> None:
    """Tell references that nothing is measured against, and ceilings that bound nothing."""
    for at, message, fix in _idle(objective):
        find(Severity.WARNING, "no-effect", f"has no effect: {message}", key, f"{path}.{at}", fix)


def _idle(objective: Objective) -> Iterator[tuple[str, str, str]]:
    weights, references, ceilings = objective.weights, objective.references, objective.ceilings
    by_money = ceilings is not None and ceilings.usd_per_request is not None
    if references.usd is not None and not weights.cost and not by_money:
        fix = "give weights.cost one, or remove it"
        yield "references.usd", "cost has no weight, and no ceiling bounds it", fix
    if references.seconds is not None and not weights.latency:
        yield "references.seconds", "latency has no weight", "give weights.latency one, or remove it"
    if ceilings is None or by_money or ceilings.ttft is not None or ceilings.tpot is not None:
        return
    fix = "give usdPerRequest, ttft or tpot, or remove it"
    if objective.floor is None or "when_none" not in ceilings.model_fields_set:
        yield "ceilings", "it bounds nothing", fix
    elif "quantile" in ceilings.model_fields_set:
        yield "ceilings.quantile", "nothing is bounded with that certainty", fix


def find_unmade_levels(
    rule: Rule,
    candidates: Sequence[CandidateModel],
    facts: Mapping[Binding, ModelSnapshot | None],
    transforms: Mapping[str, TransformSnapshot],
    key: ResourceKey,
    path: str,
    find: Find,
) -> None:
    """Tell levels of more tokens than any candidate makes; nothing where that is unknown of one."""
    if rule.output_budget is None:
        return
    levels = rule.output_budget.levels
    known: list[_Most] = []
    for candidate in candidates:
        for binding in candidate.bindings:
            said = list(_said(facts[binding], transforms.get(candidate.model)))
            if not said:
                return
            known.append(min(said))
    if not known:
        return
    most = max(known)
    if most.by == _OUTPUT and most.tokens < min(levels):
        return  # told of each model already
    for index, level in enumerate(levels):
        if level > most.tokens:
            message = f"more than any candidate can make: {most.tokens} at most, by {most.by}"
            at = f"{path}.outputBudget.levels[{index}]"
            find(Severity.WARNING, "no-effect", message, key, at, f"name a level up to {most.tokens}")


_OUTPUT = "maxOutputTokens"


def _said(known: ModelSnapshot | None, transform: TransformSnapshot | None) -> Iterator[_Most]:
    if known is not None and known.max_output_tokens is not None:
        yield _Most(known.max_output_tokens, _OUTPUT)
    if known is not None and known.context_window is not None:
        yield _Most(known.context_window, "contextWindow")
    for bound in () if transform is None else transform.bounds:
        if bound.name == OUTPUT_LIMIT and bound.maximum is not None:
            yield _Most(int(bound.maximum), "the transform's maximum of max_tokens")
