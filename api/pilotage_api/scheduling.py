"""How a pool's servers are chosen among: scorers, filters, picker, saturation and health."""

from typing import Annotated, Final

from pydantic import Field, StringConstraints

from pilotage_api.decimal_texts import DURATION, SHARE
from pilotage_api.resource import Block, ShortText, unique_by
from pilotage_api.snapshot import (
    HealthSnapshot,
    ProfileSnapshot,
    SaturationSnapshot,
    StepSnapshot,
    WeightedSnapshot,
)

StepType = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9./]*[a-z0-9])?$", max_length=63)]
"""Name of a filter, scorer or picker: built in, or of a plug-in."""
Share = Annotated[str, StringConstraints(pattern=SHARE, max_length=8)]
"""Decimal text from "0" to "1"."""
Duration = Annotated[str, StringConstraints(pattern=DURATION, max_length=8)]
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

BUILT_IN_SCORERS: Final = frozenset(
    {
        "queue-depth",
        "running-requests",
        "in-flight",
        "kv-cache-use",
        "in-flight-tokens",
        "uncached-prefill",
        "prefix-cache",
        "lora-affinity",
        "session-affinity",
    }
)
BUILT_IN_PICKERS: Final = frozenset({"max-score", "weighted-random"})
PARAMETERS_HELP: Final = "For a plug-in: passed to it as text."


class Scorer(Block):
    """One term of an endpoint's score."""

    type: StepType
    """`queue-depth`, `in-flight`, `uncached-prefill` and others, or a plug-in's name."""
    weight: int = Field(ge=0, le=1000, strict=True)
    """What it counts beside the others; 0 only shows it in explanations."""
    parameters: dict[str, ShortText] = Field(default={}, max_length=16, description=PARAMETERS_HELP)


class Filter(Block):
    """Drops endpoints that cannot serve, beside the filters that always apply."""

    type: StepType
    """A plug-in's name; what is built in always applies."""
    parameters: dict[str, ShortText] = Field(default={}, max_length=16, description=PARAMETERS_HELP)


class Picker(Block):
    """Makes an order of scores."""

    type: StepType = "max-score"
    """`max-score` (near-ties by chance), `weighted-random`, or a plug-in's name."""
    parameters: dict[str, ShortText] = Field(default={}, max_length=16, description=PARAMETERS_HELP)


class Scheduling(Block):
    """Which endpoint is best: the weighted sum of its scorers' terms."""

    scorers: list[Scorer] = Field(default=[], max_length=16, json_schema_extra=unique_by("type"))
    """The terms; the default profile when omitted."""
    filters: list[Filter] = Field(default=[], max_length=16, json_schema_extra=unique_by("type"))
    """Further filters, in this order."""
    picker: Picker = Picker()
    """How scores become an order."""

    def snapshot(self) -> ProfileSnapshot:
        """What extproc needs of it."""
        return ProfileSnapshot(
            scorers=tuple(
                WeightedSnapshot(type=one.type, parameters=one.parameters, weight=one.weight)
                for one in self.scorers
            ),
            filters=tuple(StepSnapshot(type=one.type, parameters=one.parameters) for one in self.filters),
            picker=StepSnapshot(type=self.picker.type, parameters=self.picker.parameters),
        )

    def unknown_types(self) -> list[tuple[str, str, frozenset[str]]]:
        """Types that are not built in: where they stand, and what is built in for such a step."""
        scorers = [(f"scorers[{index}].type", one.type) for index, one in enumerate(self.scorers)]
        filters = [(f"filters[{index}].type", one.type) for index, one in enumerate(self.filters)]
        steps = (
            (scorers, BUILT_IN_SCORERS),
            (filters, frozenset[str]()),
            ([("picker.type", self.picker.type)], BUILT_IN_PICKERS),
        )
        return [(path, name, known) for found, known in steps for path, name in found if name not in known]

    def unread_parameters(self) -> list[tuple[str, str]]:
        """Parameters of built-in steps, which take none: where they stand, and the step's type."""
        scorers = [
            (f"scorers[{index}].parameters", one.type)
            for index, one in enumerate(self.scorers)
            if one.parameters and one.type in BUILT_IN_SCORERS
        ]
        picker = self.picker
        if picker.parameters and picker.type in BUILT_IN_PICKERS:
            return [*scorers, ("picker.parameters", picker.type)]
        return scorers


class Saturation(Block):
    """When an endpoint is full: it gets requests only while all others of its model are full too."""

    queue_depth: int | None = Field(default=None, ge=1, le=100_000, strict=True)
    """Requests waiting in its engine, or more."""
    kv_cache_utilization: Share | None = None
    """Share of its KV cache in use, or more, as decimal text: `"0.8"`."""

    def snapshot(self) -> SaturationSnapshot:
        """What extproc needs of it."""
        share = self.kv_cache_utilization
        return SaturationSnapshot(
            queue_depth=self.queue_depth, kv_cache_utilization=None if share is None else float(share)
        )


class Health(Block):
    """When an endpoint that fails is ejected (outlier detection), and for how long."""

    consecutive_failures: int = Field(default=5, ge=1, le=1000, strict=True)
    """Failures in a row: refused or broken connections and 5xx answers."""
    ejection_time: Duration = "10s"
    """The first time; each further one is longer by as much, up to ten times."""

    def snapshot(self) -> HealthSnapshot:
        """What extproc needs of it."""
        return HealthSnapshot(
            consecutive_failures=self.consecutive_failures, ejection_seconds=seconds(self.ejection_time)
        )


def seconds(duration: str) -> float:
    """Seconds of a duration such as `10s` or `500ms`."""
    unit = duration.lstrip("0123456789")
    return int(duration.removesuffix(unit)) * _SECONDS[unit]
