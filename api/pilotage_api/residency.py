"""Where requests of a rule may go: pools whose labels say so, and no others."""

from collections.abc import Callable, Mapping

from pilotage_api.findings import Find, ResourceKey, Severity
from pilotage_api.modelpool import ModelPool
from pilotage_api.require import OWN, TRUST
from pilotage_api.snapshot import CandidateModel, FallbackSnapshot

LabelsOf = Callable[[str], Mapping[str, str]]
"""Labels of a pool, by `namespace/name`."""


def find_in_labels(pool: ModelPool, key: ResourceKey, find: Find) -> None:
    """A provider that claims to be one's own."""
    if pool.spec.external is not None and pool.metadata.labels.get(TRUST) == OWN:
        message = "a hosted provider is not one's own: the label does not count"
        find(
            Severity.ERROR,
            "trust-of-provider",
            message,
            key,
            f"metadata.labels.{TRUST}",
            "write trust: provider",
        )


def fits(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether a pool has all of them."""
    return all(labels.get(name) == value for name, value in wanted.items())


def kept(
    candidates: tuple[CandidateModel, ...],
    wanted: Mapping[str, str],
    labels: LabelsOf,
    key: ResourceKey,
    path: str,
    find: Find,
) -> tuple[CandidateModel, ...]:
    """The candidates with the pools that have the labels; what loses all of them is told."""
    if not wanted:
        return candidates
    shown = ", ".join(f"{name}={value}" for name, value in sorted(wanted.items()))
    made = []
    for index, one in enumerate(candidates):
        bindings = tuple(binding for binding in one.bindings if fits(labels(binding.pool), wanted))
        if one.bindings and not bindings:
            message = f"no pool that serves {one.model!r} has {shown}: requests never go there"
            fix = "label a pool, or name another model"
            find(Severity.WARNING, "kept-out", message, key, f"{path}[{index}].model", fix)
        made.append(one.model_copy(update={"bindings": bindings}))
    if any(one.bindings for one in candidates) and not any(one.bindings for one in made):
        message = f"no pool has {shown}: matching requests are answered 503"
        find(
            Severity.ERROR, "no-candidates", message, key, path, "label a pool that serves one of the models"
        )
    return tuple(made)


def kept_fallback(
    fallback: FallbackSnapshot | None,
    wanted: Mapping[str, str],
    labels: LabelsOf,
    key: ResourceKey,
    path: str,
    find: Find,
) -> FallbackSnapshot | None:
    """A rule's fallback within the labels; None where nothing is left of it."""
    if fallback is None or not wanted:
        return fallback
    to = []
    for one in fallback.to:
        bindings = tuple(binding for binding in one.bindings if fits(labels(binding.pool), wanted))
        if bindings:
            to.append(one.model_copy(update={"bindings": bindings}))
        else:
            message = f"no pool that serves {one.model!r} has the labels that the rule requires"
            find(
                Severity.WARNING,
                "kept-out",
                message,
                key,
                path,
                "fall back to another model, or label a pool",
            )
    return fallback.model_copy(update={"to": tuple(to)}) if to else None
