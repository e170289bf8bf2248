"""A profile: the filters, weighted scorers and picker of one pool or policy, ready to run."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pilotage_api.snapshot import ProfileSnapshot, StepSnapshot, WeightedSnapshot
from pilotage_extproc.domain.clock import Clock, monotonic
from pilotage_extproc.scheduling import affinity_scorers, load_scorers
from pilotage_extproc.scheduling.contract import Filter, Picker, Scorer
from pilotage_extproc.scheduling.filters import Admitted, Awake, Healthy, InSubset, NotSaturated
from pilotage_extproc.scheduling.pickers import MaxScore, WeightedRandom
from pilotage_extproc.scheduling.plugins import Guard, installed_plugins, load_factory

log = logging.getLogger(__name__)

DEFAULT_SCORERS: Final = (
    WeightedSnapshot(type="queue-depth", weight=1),
    WeightedSnapshot(type="in-flight", weight=1),
    WeightedSnapshot(type="in-flight-tokens", weight=1),
    WeightedSnapshot(type="uncached-prefill", weight=2),
    WeightedSnapshot(type="lora-affinity", weight=1),
)
"""docs/scheduling.md says why these."""
SCORERS: Final[Mapping[str, Callable[[], Scorer]]] = {
    "queue-depth": load_scorers.QueueDepth,
    "running-requests": load_scorers.RunningRequests,
    "in-flight": load_scorers.InFlight,
    "kv-cache-use": load_scorers.KvCacheUse,
    "in-flight-tokens": load_scorers.InFlightTokens,
    "uncached-prefill": affinity_scorers.UncachedPrefill,
    "prefix-cache": affinity_scorers.PrefixCache,
    "lora-affinity": affinity_scorers.LoraAffinity,
    "session-affinity": affinity_scorers.SessionAffinity,
}
PICKERS: Final[Mapping[str, Callable[[np.random.Generator], Picker]]] = {
    "max-score": MaxScore,
    "weighted-random": WeightedRandom,
}


@dataclass(slots=True, frozen=True)
class Weighted:
    """A scorer and what it counts."""

    scorer: Scorer
    weight: float
    guard: Guard | None = None
    """Of a plug-in."""


@dataclass(slots=True, frozen=True)
class Guarded:
    """A filter or picker of a plug-in."""

    step: Any
    guard: Guard


class Profile:
    """What the scheduler runs for a request."""

    def __init__(
        self,
        scorers: Sequence[Weighted],
        picker: Picker,
        *,
        filters: Sequence[Guarded] = (),
        guarded_picker: Guarded | None = None,
        missing: tuple[str, ...] = (),
    ) -> None:
        """`missing` names steps that no plug-in provides: they are shown as skipped."""
        self.scorers = tuple(scorers)
        self.picker = picker
        self.filters: tuple[Filter, ...] = (Admitted(), Awake(), InSubset(), Healthy(), NotSaturated())
        self.plugin_filters = tuple(filters)
        self.guarded_picker = guarded_picker
        self.missing = missing
        self.weights: NDArray[np.float64] = np.array([[one.weight] for one in scorers], np.float64)
        """One a scorer, as a column; their sum is 1."""
        if self.weights.sum() > 0:
            self.weights /= self.weights.sum()
        self.halves: NDArray[np.float64] = np.array([[one.scorer.half] for one in scorers], np.float64)
        """The scorers' halves, as a column."""
        self.numerators = self.weights * self.halves
        self.may_be_unknown = any(one.guard is not None for one in scorers)
        """Whether a measure can be NaN: those built in never are."""
        self.reads_prompt = any(one.scorer.reads_prompt for one in scorers)
        self.reads_session = any(
            isinstance(one.scorer, affinity_scorers.SessionAffinity) or one.guard for one in scorers
        )


class ProfileBook:
    """Profiles by their snapshot; equal ones are one."""

    def __init__(
        self,
        *,
        clock: Clock = monotonic,
        on_plugin_trouble: Callable[[str, str], None] = lambda _name, _what: None,
        plugins: Mapping[str, EntryPoint] | None = None,
        seed: int | None = None,
    ) -> None:
        self._clock = clock
        self._on_trouble = on_plugin_trouble
        self._plugins = installed_plugins() if plugins is None else plugins
        self._random = np.random.default_rng(seed)
        self._known: dict[str, Profile] = {}
        self._guards: dict[str, Guard] = {}

    def profile(self, snapshot: ProfileSnapshot) -> Profile:
        """The profile a snapshot describes. Steps that cannot be had are left out and named."""
        key = snapshot.model_dump_json()
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._build(snapshot)
        return found

    def keep_only(self, snapshots: Sequence[ProfileSnapshot]) -> None:
        """Forget profiles nothing uses any more."""
        keys = {snapshot.model_dump_json() for snapshot in snapshots}
        self._known = {key: found for key, found in self._known.items() if key in keys}

    def _build(self, snapshot: ProfileSnapshot) -> Profile:
        missing: list[str] = []
        scorers: list[Weighted] = []
        for one in snapshot.scorers or DEFAULT_SCORERS:
            built_in = SCORERS.get(one.type)
            if built_in is not None:
                scorers.append(Weighted(built_in(), one.weight))
            elif (plugin := self._plugin(one, Scorer, missing)) is not None:
                scorers.append(Weighted(plugin.step, one.weight, plugin.guard))
        filters = [
            plugin for one in snapshot.filters if (plugin := self._plugin(one, Filter, missing)) is not None
        ]
        make = PICKERS.get(snapshot.picker.type)
        guarded = None if make is not None else self._plugin(snapshot.picker, Picker, missing)
        picker = (make or MaxScore)(self._random)
        return Profile(scorers, picker, filters=filters, guarded_picker=guarded, missing=tuple(missing))

    def _plugin(self, step: StepSnapshot, kind: type, missing: list[str]) -> Guarded | None:
        entry = self._plugins.get(step.type)
        if entry is None:
            missing.append(f"{step.type}: no plug-in of that name is installed")
            return None
        try:
            made = load_factory(entry)(dict(step.parameters))
        except Exception as error:
            log.exception("a plug-in cannot be loaded and is skipped", extra={"plugin": step.type})
            missing.append(f"{step.type}: cannot be loaded ({type(error).__name__})")
            return None
        if not isinstance(made, kind):
            log.error("a plug-in is not what its place needs", extra={"plugin": step.type})
            missing.append(f"{step.type}: is not a {kind.__name__.lower()}")
            return None
        guard = self._guards.setdefault(step.type, Guard(step.type, self._clock, self._on_trouble))
        return Guarded(made, guard)
