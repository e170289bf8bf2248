"""Scorers of affinity: what an endpoint holds already that this request needs."""

import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.domain.features import RequestFeatures
from pilotage_extproc.scheduling.candidate_view import CandidateView


class UncachedPrefill:
    """Prompt tokens the endpoint would have to compute: those its prefix cache probably lacks."""

    name = "uncached-prefill"
    unit = "tokens"
    half = 2048.0
    reads_prompt = True

    def score(self, view: CandidateView) -> NDArray[np.float64]:
        """Tokens by candidate."""
        request = view.request
        return request.prompt_tokens - view.cached_bytes / request.bytes_per_token

    def of_held(self, request: RequestFeatures, cached_bytes: float) -> float:
        """Tokens where so many bytes are cached."""
        return request.prompt_tokens - cached_bytes / request.bytes_per_token


class PrefixCache:
    """Share of the prompt the endpoint's prefix cache probably lacks.

    The share, not the tokens: a short prompt sticks to its endpoint as much as a long one does.
    """

    name = "prefix-cache"
    unit = "share"
    half = 1.0
    reads_prompt = True

    def score(self, view: CandidateView) -> NDArray[np.float64]:
        """0 (all is there) to 1 by candidate."""
        prompt = view.request.prompt
        if prompt is None or not prompt.prompt_bytes:
            return np.ones(len(view))
        return 1.0 - view.cached_bytes / prompt.prompt_bytes

    def of_held(self, request: RequestFeatures, cached_bytes: float) -> float:
        """The share where so many bytes are cached."""
        prompt = request.prompt
        if prompt is None or not prompt.prompt_bytes:
            return 1.0
        return 1.0 - cached_bytes / prompt.prompt_bytes


class LoraAffinity:
    """Whether the request's LoRA adapter is in a slot (0), would get a free one (0.5), or push one out."""

    name = "lora-affinity"
    unit = "share"
    half = 0.5
    reads_prompt = False

    def score(self, view: CandidateView) -> NDArray[np.float64] | None:
        """0, 0.5 or 1 by candidate; 0 for a candidate that needs no adapter, None where none does."""
        if not view.candidates.adapters:
            return None
        column = np.zeros(len(view))
        slots, rows = view.knowledge.adapters, view.candidates.rows
        for adapter, members in view.candidates.adapters:
            column[members] = slots.costs(adapter, rows[members])
        return column


class SessionAffinity:
    """Whether the session's last request went to the endpoint (0) or not (1); 0 without a session."""

    name = "session-affinity"
    unit = "share"
    half = 0.5
    reads_prompt = False

    def score(self, view: CandidateView) -> NDArray[np.float64] | None:
        """0 or 1 by candidate; None without a session, or where its server is gone."""
        session = view.request.session
        known = None if session is None else view.knowledge.sessions.row_of(session)
        if known is None or view.table.generation[known[0]] != known[1]:
            return None
        elsewhere: NDArray[np.bool_] = view.candidates.rows != known[0]
        return elsewhere.astype(np.float64)
