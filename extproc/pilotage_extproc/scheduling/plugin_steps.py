"""Steps of plug-ins as the scheduler runs them: what they say of themselves is read and checked once.

Each wraps what a factory returned. Making one raises `NotAStep` where that does not have what its place
needs; running one raises `PluginSkipped` and nothing else.
"""

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.scheduling.candidate_view import CandidateView
from pilotage_extproc.scheduling.plugin_view import PluginView
from pilotage_extproc.scheduling.plugins import Guard

MAX_TEXT: Final = 100
"""Characters of a name, unit or reason."""


class NotAStep(Exception):
    """What a factory returned cannot be used; the text says why."""


@dataclass(slots=True, frozen=True)
class PluginScorer:
    """A scorer of a plug-in."""

    name: str
    """The step's type: no two of a profile share it, and none has a built-in one's."""
    unit: str
    half: float
    reads_prompt: bool
    step: Any
    guard: Guard

    @classmethod
    def of(cls, made: Any, guard: Guard) -> "PluginScorer":
        """Raises NotAStep, or whatever the plug-in's properties raise."""
        _need(made, "scorer", "name", "unit", "half", "reads_prompt", "score")
        _text(made, "name")
        return cls(guard.name, _text(made, "unit"), _half(made), _flag(made, "reads_prompt"), made, guard)

    def score(self, view: CandidateView) -> NDArray[np.float64]:
        """A copy of the plug-in's column. Raises PluginSkipped."""
        return self.guard.run(self._score, view)

    def _score(self, view: CandidateView) -> NDArray[np.float64]:
        column = np.array(self.step.score(PluginView(view)), np.float64)
        if column.shape != (len(view),):
            raise ValueError(f"a column of {len(view)} values is required, not of shape {column.shape}")
        if (column < 0).any():
            raise ValueError("a measure is below 0")
        return column


@dataclass(slots=True, frozen=True)
class PluginFilter:
    """A filter of a plug-in."""

    name: str
    reason: str
    soft: bool
    step: Any
    guard: Guard

    @classmethod
    def of(cls, made: Any, guard: Guard) -> "PluginFilter":
        """Raises NotAStep, or whatever the plug-in's properties raise."""
        _need(made, "filter", "reason", "soft", "keep")
        return cls(guard.name, _text(made, "reason"), _flag(made, "soft"), made, guard)

    def keep(self, view: CandidateView) -> NDArray[np.bool_] | None:
        """A copy of the plug-in's mask. Raises PluginSkipped."""
        return self.guard.run(self._keep, view)

    def _keep(self, view: CandidateView) -> NDArray[np.bool_] | None:
        keep = self.step.keep(PluginView(view))
        if keep is None:
            return None
        mask = np.array(keep, np.bool_)
        if mask.shape != (len(view),):
            raise ValueError(f"{len(view)} values are required, not of shape {mask.shape}")
        return mask


@dataclass(slots=True, frozen=True)
class PluginPicker:
    """A picker of a plug-in."""

    name: str
    step: Any
    guard: Guard

    @classmethod
    def of(cls, made: Any, guard: Guard) -> "PluginPicker":
        """Raises NotAStep."""
        _need(made, "picker", "order")
        return cls(guard.name, made, guard)

    def order(self, scores: NDArray[np.float64], members: NDArray[np.intp], limit: int) -> NDArray[np.intp]:
        """The plug-in's order; it gets copies. Raises PluginSkipped."""
        return self.guard.run(self._order, scores, members, limit)

    def _order(self, scores: NDArray[np.float64], members: NDArray[np.intp], limit: int) -> NDArray[np.intp]:
        order = np.array(self.step.order(scores.copy(), members.copy(), limit))
        if order.ndim != 1 or order.dtype.kind not in "iu":
            raise ValueError(f"a list of members is required, not {order.dtype} of shape {order.shape}")
        if len(order) < min(limit, len(members)) or not np.isin(order, members).all():
            raise ValueError("a picker must return members, at least as many as asked for")
        if len(np.unique(order)) != len(order):
            raise ValueError("a picker must return each member once")
        return order.astype(np.intp)


def _need(made: object, kind: str, *names: str) -> None:
    missing = [name for name in names if not hasattr(made, name)]
    if missing:
        raise NotAStep(f"is not a {kind}: it has no {missing[0]}")


def _text(made: object, field: str) -> str:
    value = getattr(made, field)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT:
        raise NotAStep(f"{field} must be text of 1 to {MAX_TEXT} characters")
    return str(value)


def _half(made: object) -> float:
    value = getattr(made, "half")  # noqa: B009
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) < math.inf:
        raise NotAStep("half must be a number above 0")
    return float(value)


def _flag(made: object, field: str) -> bool:
    value = getattr(made, field)
    if not isinstance(value, bool | np.bool_):
        raise NotAStep(f"{field} must be True or False")
    return bool(value)
