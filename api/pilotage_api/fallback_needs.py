"""Fallbacks that cannot serve what their rule's requests may need, by what is said of the models."""

import math
from collections.abc import Iterable
from typing import Final

from pilotage_api.facts_snapshot import ModelSnapshot
from pilotage_api.fallback import Fallback, FallbackReason
from pilotage_api.findings import Find, ResourceKey, Severity
from pilotage_api.naming import NameRegistry
from pilotage_api.snapshot import CandidateModel

_UNKNOWN: Final = ModelSnapshot(upstream_model="", name="")


def find_unable(
    candidates: tuple[CandidateModel, ...],
    to: tuple[CandidateModel, ...],
    fallback: Fallback,
    registry: NameRegistry,
    key: ResourceKey,
    path: str,
    find: Find,
) -> None:
    """Tell capabilities that a candidate has and its fallback lacks, and windows that are no larger."""
    own = _facts(candidates, registry)
    needed = {what for one in own for what in one.capabilities or ()}
    places = {one.model: index for index, one in enumerate(fallback.to)}
    for model in to:
        able = [one.capabilities for one in _facts((model,), registry)]
        missing = needed.difference(*(needed if one is None else one for one in able)) if able else ()
        if missing:
            lacks = ", ".join(sorted(missing))
            message = f"{model.model!r} lacks {lacks}: candidates serve requests that it cannot"
            fix = "name a model that can, or list the capability in its ModelPool if it has it"
            at = f"{path}.to[{places[model.model]}].model"
            find(Severity.WARNING, "fallback-cannot-serve", message, key, at, fix)
    widest = max((one.context_window or 0 for one in own), default=0)
    if FallbackReason.CONTEXT_OVERFLOW in fallback.reasons and widest >= _widest(to, registry):
        index = fallback.reasons.index(FallbackReason.CONTEXT_OVERFLOW)
        message = f"never helps: no fallback takes more than the candidates' {widest} tokens"
        fix = "name a model with a larger contextWindow, or remove the reason"
        find(Severity.WARNING, "fallback-cannot-serve", message, key, f"{path}.reasons[{index}]", fix)


def _widest(models: Iterable[CandidateModel], registry: NameRegistry) -> float:
    """The largest context window; infinite where one of them is unknown."""
    known = (_facts((model,), registry) or [_UNKNOWN] for model in models)
    windows = [one.context_window or math.inf for facts in known for one in facts]
    return max(windows, default=math.inf)


def _facts(models: Iterable[CandidateModel], registry: NameRegistry) -> list[ModelSnapshot]:
    """Of all their bindings of which anything is said."""
    found = (registry.facts_of(binding) for model in models for binding in model.bindings)
    return [facts for facts in found if facts is not None]
