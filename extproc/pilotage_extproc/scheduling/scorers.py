"""The scorers of this version: how long the engine's queue is, and how many requests it works on."""

import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.scheduling.candidates import CandidateView


class QueueDepth:
    """Requests waiting in the engine, as scraped; 0 where figures are stale or the engine has none."""

    name = "queue-depth"
    unit = "requests"
    half = 4.0

    def score(self, view: CandidateView) -> NDArray[np.float64]:
        """Requests by candidate."""
        return np.where(view.fresh, view.table.waiting[view.candidates.rows], 0.0)


class InFlight:
    """Requests at the endpoint: running as scraped plus own ones the scrape cannot have seen.

    Where figures are stale, this process's own requests are all that is known.
    """

    name = "in-flight"
    unit = "requests"
    half = 16.0

    def score(self, view: CandidateView) -> NDArray[np.float64]:
        """Requests by candidate."""
        rows, table = view.candidates.rows, view.table
        own = table.inflight[rows]
        return np.where(view.fresh, table.running[rows] + table.unseen[rows], own)
