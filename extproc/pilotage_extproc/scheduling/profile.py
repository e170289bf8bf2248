"""A profile: the filters, weighted scorers and picker of one pool or policy, ready to run."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from typing import Final, TypeGuard

import numpy as np
from numpy.typing import NDArray

from pilotage_api.snapshot import ProfileSnapshot, WeightedSnapshot
from pilotage_extproc.domain.clock import Clock, monotonic
from pilotage_extproc.scheduling import affinity_scorers, load_scorers
from pilotage_extproc.scheduling.contract import Filter, Picker, PromptScorer, Scorer, StandingScorer
from pilotage_extproc.scheduling.filters import (
    Admitted,
    Available,
    Closed,
    HasCall,
    Healthy,
    InSubset,
    NotSaturated,
    Reachable,
)
from pilotage_extproc.scheduling.pickers import MaxScore, WeightedRandom
from pilotage_extproc.scheduling.plugin_book import PluginBook
from pilotage_extproc.scheduling.plugin_steps import PluginFilter, PluginPicker, PluginScorer
from pilotage_extproc.scheduling.plugins import installed_plugins

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


Measure = tuple[int, Scorer, float, float]
"""A scorer's place in its profile, `half`, and weight times `half`."""


class Profile:
    """What the scheduler runs for a request."""

    def __init__(
        self,
        scorers: Sequence[Weighted],
        picker: Picker,
        *,
        filters: Sequence[PluginFilter] = (),
        plugin_picker: PluginPicker | None = None,
        missing: tuple[str, ...] = (),
    ) -> None:
        """`missing` names steps that no plug-in provides: they are shown as skipped."""
        self.scorers = tuple(scorers)
        self.picker = picker
        self.filters: tuple[Filter, ...] = (
            Admitted(),
            Available(),
            Reachable(),
            HasCall(),
            InSubset(),
            Healthy(),
            Closed(),
            NotSaturated(),
        )
        self.plugin_filters = _told_apart(self.filters, filters)
        self.plugin_picker = plugin_picker
        self.missing = missing
        self.weights: NDArray[np.float64] = _column(one.weight for one in scorers)
        """One a scorer, as a column; their sum is 1."""
        if self.weights.sum() > 0:
            self.weights /= self.weights.sum()
        self.halves: NDArray[np.float64] = _column(one.scorer.half for one in scorers)
        """The scorers' halves, as a column."""
        self.numerators = self.weights * self.halves
        self.may_be_unknown = any(isinstance(one.scorer, PluginScorer) for one in scorers)
        """Whether a measure can be NaN: those built in never are."""
        measures: list[Measure] = [
            (index, one.scorer, half, numerator)
            for index, (one, half, numerator) in enumerate(
                zip(scorers, self.halves.ravel().tolist(), self.numerators.ravel().tolist(), strict=True)
            )
        ]
        self.standing = tuple(one for one in measures if _is_standing(one))
        """Scorers of the endpoints' figures alone: their index, `half`, and weight times `half`."""
        self.of_prompt = tuple(one for one in measures if _is_of_prompt(one))
        self.varying = tuple(one for one in measures if not _is_standing(one) and not _is_of_prompt(one))
        """All others."""
        self.of_request: tuple[Measure, ...] = (*self.varying, *self.of_prompt)
        """Those whose measures depend on more than the endpoints' figures."""
        self.reads_prompt = any(one.scorer.reads_prompt for one in scorers)
        self.reads_session = any(
            isinstance(one.scorer, affinity_scorers.SessionAffinity | PluginScorer) for one in scorers
        )


def _is_standing(measure: Measure) -> TypeGuard[tuple[int, StandingScorer, float, float]]:
    return isinstance(measure[1], StandingScorer)


def _is_of_prompt(measure: Measure) -> TypeGuard[tuple[int, PromptScorer, float, float]]:
    return isinstance(measure[1], PromptScorer)


def _column(values: Iterable[float]) -> NDArray[np.float64]:
    """One row a value; a column of none is one too."""
    return np.array(list(values), np.float64).reshape(-1, 1)


def _told_apart(built_in: Sequence[Filter], plugins: Sequence[PluginFilter]) -> tuple[PluginFilter, ...]:
    """The plug-ins' filters; one whose reason another has already is told by its type as well."""
    reasons = {one.reason for one in built_in}
    found = []
    for one in plugins:
        reason = one.reason if one.reason not in reasons else f"{one.reason} ({one.name})"
        reasons.add(reason)
        found.append(replace(one, reason=reason))
    return tuple(found)


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
        self._plugins = PluginBook(
            installed_plugins() if plugins is None else plugins, clock, on_plugin_trouble
        )
        self._random = np.random.default_rng(seed)
        self._known: dict[str, Profile] = {}

    def profile(self, snapshot: ProfileSnapshot) -> Profile:
        """The profile a snapshot describes. Steps that cannot be had are left out and named."""
        key = snapshot.model_dump_json()
        found = self._known.get(key)
        if found is None or self._plugins.has_news(key):
            found = self._known[key] = self._build(key, snapshot)
        return found

    def keep_only(self, snapshots: Sequence[ProfileSnapshot]) -> None:
        """Forget profiles nothing uses any more."""
        keys = {snapshot.model_dump_json() for snapshot in snapshots}
        self._known = {key: found for key, found in self._known.items() if key in keys}
        self._plugins.keep_only(
            keys, (step for one in snapshots for step in (*one.scorers, *one.filters, one.picker))
        )

    def _build(self, key: str, snapshot: ProfileSnapshot) -> Profile:
        missing: list[str] = []
        scorers: list[Weighted] = []
        for one in snapshot.scorers or DEFAULT_SCORERS:
            built_in = SCORERS.get(one.type)
            if built_in is not None:
                scorers.append(Weighted(built_in(), one.weight))
            elif (scorer := self._plugins.step(key, one, PluginScorer.of, missing)) is not None:
                scorers.append(Weighted(scorer, one.weight))
        filters = [
            made
            for step in snapshot.filters
            if (made := self._plugins.step(key, step, PluginFilter.of, missing)) is not None
        ]
        make = PICKERS.get(snapshot.picker.type)
        own = None if make else self._plugins.step(key, snapshot.picker, PluginPicker.of, missing)
        picker = (make or MaxScore)(self._random)
        return Profile(scorers, picker, filters=filters, plugin_picker=own, missing=tuple(missing))
