"""What filters and scorers of plug-ins see of a decision: copies, and nothing that leads to shared state."""

import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.domain.features import RequestFeatures
from pilotage_extproc.scheduling.candidate_view import CandidateView
from pilotage_extproc.scheduling.candidates import CandidateSet


class PluginView:
    """The candidates' figures in columns, the request, and the time.

    Every column is a copy, made when it is asked for: changing it changes nothing.
    """

    __slots__ = ("_view",)

    def __init__(self, view: CandidateView) -> None:
        self._view = view

    def __len__(self) -> int:
        return len(self._view)

    @property
    def candidates(self) -> CandidateSet:
        """The candidates' targets, tiers and rows. Its arrays are read-only, and shared by requests."""
        return self._view.candidates

    @property
    def request(self) -> RequestFeatures:
        """Sizes and hashes of the request."""
        return self._view.request

    @property
    def subset(self) -> frozenset[str] | None:
        """Addresses the gateway allows; None is all."""
        return self._view.subset

    @property
    def now(self) -> float:
        """Monotonic seconds."""
        return self._view.now

    @property
    def waiting(self) -> NDArray[np.float64]:
        """Requests queued in the engine; 0 where that is unknown or too old, as in all that was scraped."""
        return self._view.waiting.copy()

    @property
    def running(self) -> NDArray[np.float64]:
        """Requests the engine answers."""
        return self._view.running.copy()

    @property
    def kv_usage(self) -> NDArray[np.float64]:
        """Share of the KV cache in use, 0 to 1; the worst known where an engine does not say."""
        return self._view.kv_usage.copy()

    @property
    def inflight(self) -> NDArray[np.float64]:
        """Own requests at the endpoint."""
        return self._view.inflight.copy()

    @property
    def unseen(self) -> NDArray[np.float64]:
        """Own requests that began after the last scrape."""
        return self._view.unseen.copy()

    @property
    def tokens(self) -> NDArray[np.float64]:
        """Prompt tokens of own requests that were not expected in the endpoint's cache."""
        return self._view.tokens.copy()

    @property
    def scraped_at(self) -> NDArray[np.float64]:
        """When the scraped figures were scraped, monotonic seconds; -inf is never."""
        return self._view.scraped_at.copy()

    @property
    def ejected_until(self) -> NDArray[np.float64]:
        """Left out until then for failing, monotonic seconds; 0 is not."""
        return self._view.ejected_until.copy()

    @property
    def cached_bytes(self) -> NDArray[np.float64]:
        """Bytes of the request's prompt each candidate probably holds in its prefix cache."""
        return self._view.cached_bytes.copy()
