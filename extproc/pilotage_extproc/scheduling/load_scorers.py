"""Scorers of load: how long the engine's queue is, and how much it works on."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.scheduling.candidate_view import CandidateView
from pilotage_extproc.state.endpoints import INFLIGHT, RUNNING, TOKENS, UNSEEN, WAITING


class _OneFigure:
    """Measures by one of the endpoints' figures."""

    figure: int
    """Row of `EndpointTable.figures`."""

    def score(self, view: CandidateView) -> NDArray[np.float64]:
        """The figure by candidate."""
        return self.of_rows(view.figures)

    def of_rows(self, figures: NDArray[np.float64]) -> NDArray[np.float64]:
        """The figure by column."""
        column: NDArray[np.float64] = figures[self.figure]
        return column

    def of_row(self, figures: Sequence[float]) -> float:
        """The figure of one endpoint."""
        return figures[self.figure]


class QueueDepth(_OneFigure):
    """Requests waiting in the engine, as scraped; 0 where figures are stale or the engine has none."""

    name = "queue-depth"
    unit = "requests"
    half = 16.0
    reads_prompt = False
    figure = WAITING


class RunningRequests(_OneFigure):
    """Requests the engine answers, as scraped, less own ones ended since; not those placed since."""

    name = "running-requests"
    unit = "requests"
    half = 16.0
    reads_prompt = False
    figure = RUNNING


class InFlight:
    """Requests at the endpoint that its queue does not hold.

    As scraped, plus own ones begun since, less own ones ended since. A request placed just before a scrape
    may not have reached the engine when it counted, so own requests in flight are a lower bound at any time:
    without it, a burst would see each freshly scraped endpoint as empty. Where figures are stale they are
    all that is known.
    """

    name = "in-flight"
    unit = "requests"
    half = 16.0
    reads_prompt = False

    def score(self, view: CandidateView) -> NDArray[np.float64]:
        """Requests by candidate."""
        return self.of_rows(view.figures)

    def of_rows(self, figures: NDArray[np.float64]) -> NDArray[np.float64]:
        """Requests by column."""
        there = figures[RUNNING] + figures[UNSEEN]
        most: NDArray[np.float64] = np.maximum(there, figures[INFLIGHT] - figures[WAITING])
        return most

    def of_row(self, figures: Sequence[float]) -> float:
        """Requests at one endpoint."""
        return max(figures[RUNNING] + figures[UNSEEN], figures[INFLIGHT] - figures[WAITING])


class KvCacheUse:
    """Share of the KV cache in use, as scraped: near 1 an engine sends requests back to its queue."""

    name = "kv-cache-use"
    unit = "share"
    half = 1.0
    reads_prompt = False

    def score(self, view: CandidateView) -> NDArray[np.float64]:
        """0 to 1 by candidate; the worst of the others for one that does not say."""
        return view.kv_usage


class InFlightTokens(_OneFigure):
    """Prompt tokens of own requests in flight that the endpoint was not expected to have cached."""

    name = "in-flight-tokens"
    unit = "tokens"
    half = 8192.0
    reads_prompt = True
    figure = TOKENS
