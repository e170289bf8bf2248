"""Scorers of load: how long the engine's queue is, and how much it works on."""

import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.scheduling.candidates import CandidateView


class QueueDepth:
    """Requests waiting in the engine, as scraped; 0 where figures are stale or the engine has none."""

    name = "queue-depth"
    unit = "requests"
    half = 16.0
    reads_prompt = False

    def score(self, view: CandidateView) -> NDArray[np.float64]:
        """Requests by candidate."""
        return view.waiting


class RunningRequests:
    """Requests the engine answers, as scraped, less own ones ended since; not those placed since."""

    name = "running-requests"
    unit = "requests"
    half = 16.0
    reads_prompt = False

    def score(self, view: CandidateView) -> NDArray[np.float64]:
        """Requests by candidate."""
        return view.running


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
        return np.maximum(view.running + view.unseen, view.inflight - view.waiting)


class KvCacheUse:
    """Share of the KV cache in use, as scraped: near 1 an engine sends requests back to its queue."""

    name = "kv-cache-use"
    unit = "share"
    half = 1.0
    reads_prompt = False

    def score(self, view: CandidateView) -> NDArray[np.float64]:
        """0 to 1 by candidate; the worst of the others for one that does not say."""
        return view.kv_usage


class InFlightTokens:
    """Prompt tokens of own requests in flight that the endpoint was not expected to have cached."""

    name = "in-flight-tokens"
    unit = "tokens"
    half = 8192.0
    reads_prompt = True

    def score(self, view: CandidateView) -> NDArray[np.float64]:
        """Tokens by candidate."""
        return view.tokens
