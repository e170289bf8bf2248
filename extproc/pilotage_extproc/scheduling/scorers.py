"""The scorers of this version: how long the engine's queue is, and how many requests it works on."""

import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.scheduling.candidates import CandidateView


class QueueDepth:
    """Requests waiting in the engine, as scraped; 0 where figures are stale or the engine has none."""

    name = "queue-depth"
    unit = "requests"
    half = 16.0

    def score(self, view: CandidateView) -> NDArray[np.float64]:
        """Requests by candidate."""
        return np.where(view.fresh, view.table.waiting[view.candidates.rows], 0.0)


class InFlight:
    """Requests at the endpoint that its queue does not hold.

    As scraped, plus own ones begun since. A request placed just before a scrape may not have reached
    the engine when it counted, so own requests in flight are a lower bound at any time: without it, a
    burst would see each freshly scraped endpoint as empty. Where figures are stale they are all that
    is known.
    """

    name = "in-flight"
    unit = "requests"
    half = 16.0

    def score(self, view: CandidateView) -> NDArray[np.float64]:
        """Requests by candidate."""
        rows, table = view.candidates.rows, view.table
        own = table.inflight[rows]
        seen = np.maximum(table.running[rows] + table.unseen[rows], own - table.waiting[rows])
        return np.where(view.fresh, seen, own)
