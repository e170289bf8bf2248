"""The contracts of filters, scorers and pickers: columns in, columns out, units stated.

A scorer takes the whole candidate table and returns one column in a stated unit. Turning columns
into comparable values and weighting them is a later, separate step, so that an explanation can show
what was measured.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.domain.features import RequestFeatures
from pilotage_extproc.scheduling.candidate_view import CandidateView
from pilotage_extproc.scheduling.plugin_view import PluginView


@runtime_checkable
class Filter(Protocol):
    """Drops candidates that cannot serve. A plug-in's gets a `PluginView`."""

    @property
    def reason(self) -> str:
        """Why a dropped candidate was dropped."""

    @property
    def soft(self) -> bool:
        """Whether it keeps all candidates of a tier rather than drop them all."""

    def keep(self, view: CandidateView) -> NDArray[np.bool_] | None:
        """True where a candidate stays; None keeps all."""


@runtime_checkable
class Scorer(Protocol):
    """Measures candidates. A plug-in's gets a `PluginView`."""

    @property
    def name(self) -> str:
        """As in `spec.scheduling` and explanations. A plug-in is shown by its type instead."""

    @property
    def unit(self) -> str:
        """Of the column: requests, tokens, seconds, dollars, share."""

    @property
    def half(self) -> float:
        """The measure, in `unit`, at which a lower-is-better value has lost half its worth."""

    @property
    def reads_prompt(self) -> bool:
        """Whether it uses `view.request.prompt` or `view.cached_bytes`: hashing a prompt costs time."""

    def score(self, view: CandidateView) -> NDArray[np.float64] | None:
        """One value a candidate, from 0, lower is better; NaN is unknown and worth the worst known.

        None is 0 for all of them.
        """


@runtime_checkable
class StandingScorer(Scorer, Protocol):
    """A scorer that reads nothing but endpoints' own figures: what it measures stands until they change."""

    def of_row(self, figures: Sequence[float]) -> float:
        """What `score` says of the endpoint that has these, a column of `EndpointTable.figures`."""

    def of_rows(self, figures: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same of several endpoints, column by column."""


@runtime_checkable
class PromptScorer(Scorer, Protocol):
    """A scorer that reads nothing but the request's prompt, and how much of it an endpoint holds."""

    def of_held(self, request: RequestFeatures, cached_bytes: float) -> float:
        """What `score` says of an endpoint that holds so many bytes of the prompt."""


@runtime_checkable
class Picker(Protocol):
    """Makes an order of scores."""

    def order(self, scores: NDArray[np.float64], members: NDArray[np.intp], limit: int) -> NDArray[np.intp]:
        """Members (indices into `scores`, higher is better), best first and once; at least `limit`."""


class PerEndpoint:
    """A scorer from a function of one endpoint. Slow: it is called once a candidate, in Python.

    With 1,000 endpoints that is about 300 times the time of a scorer in columns; see docs/plugins.md.
    """

    reads_prompt = False

    def __init__(self, name: str, unit: str, half: float, measure: Callable[[str], float]) -> None:
        """`measure` takes an address (`ip:port`) and returns a value in `unit`, lower is better."""
        self.name = name
        self.unit = unit
        self.half = half
        self._measure = measure

    def score(self, view: CandidateView | PluginView) -> NDArray[np.float64]:
        """One value a candidate."""
        return np.array([self._measure(target.address) for target in view.candidates.targets], np.float64)
