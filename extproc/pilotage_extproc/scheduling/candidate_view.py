"""What steps of a decision see: the candidates' figures in columns, the request, and the time."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.domain.features import RequestFeatures
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.reach import Reach
from pilotage_extproc.scheduling.candidates import CandidateSet, Knowledge
from pilotage_extproc.state.endpoints import (
    EJECTED_UNTIL,
    INFLIGHT,
    KV_USAGE,
    RUNNING,
    SCRAPED_AT,
    TOKENS,
    UNSEEN,
    WAITING,
    EndpointTable,
)

_NOTHING_HELD: Final[Mapping[int, float]] = MappingProxyType({})


class CandidateView:
    """What scorers and filters see: the candidates' figures in columns, the request, and the time.

    Steps share the columns, and must not change them; plug-ins get a `PluginView` instead.
    """

    __slots__ = (
        "_cached_bytes",
        "_figures",
        "_held",
        "_kv_unknown",
        "call",
        "candidates",
        "knowledge",
        "now",
        "reach",
        "request",
        "subset",
        "table",
    )

    def __init__(
        self,
        candidates: CandidateSet,
        table: EndpointTable,
        knowledge: Knowledge,
        request: RequestFeatures,
        subset: frozenset[str] | None,
        now: float,
        reach: Reach = Reach.SERVERS,
        call: CallKind = CallKind.OTHER,
    ) -> None:
        """`subset` is what the gateway allows (`domain.subset`), None is all; `now` is monotonic seconds."""
        self.candidates = candidates
        self.table = table
        self.knowledge = knowledge
        self.request = request
        self.subset = subset
        self.now = now
        self.reach = reach
        self.call = call
        self._figures: NDArray[np.float64] | None = None
        self._kv_unknown: NDArray[np.bool_] | None = None
        self._cached_bytes: NDArray[np.float64] | None = None
        self._held: Mapping[int, float] | None = None

    @property
    def figures(self) -> NDArray[np.float64]:
        """Rows of `EndpointTable.figures` by candidate; gathered when a step first asks."""
        return self._gathered() if self._figures is None else self._figures

    def _gathered(self) -> NDArray[np.float64]:
        table = self.table
        figures = self._figures = table.figures.take(self.candidates.rows, axis=1)
        if table.kv_unknown:
            self._assume_kv_usage(figures)
        if table.unmeasured:
            self._assume(figures)
        return figures

    @property
    def kv_unknown(self) -> NDArray[np.bool_] | None:
        """Which candidates do not say their KV-cache use; None where all do."""
        if self._figures is None:
            self._gathered()
        return self._kv_unknown

    def _assume_kv_usage(self, figures: NDArray[np.float64]) -> None:
        """Take a KV-cache use that an engine does not say for the worst that is known, never for none."""
        usage = figures[KV_USAGE]
        unknown = np.isnan(usage)
        if unknown.any():
            usage[unknown] = np.fmax.reduce(usage, initial=0.0)
            self._kv_unknown = unknown

    def _assume(self, figures: NDArray[np.float64]) -> None:
        """Take what is not known of an engine for the mean of the others, and never for the best.

        An endpoint that stops answering would else look idle and draw every request. Own requests in
        flight are known all the same: they count where they are more than that mean.
        """
        known = figures[SCRAPED_AT] > -np.inf
        if known.all() or not known.any():
            return
        unknown = ~known
        for index in (WAITING, RUNNING, KV_USAGE):
            figures[index][unknown] = figures[index][known].mean()
        figures[UNSEEN][unknown] = np.maximum(0.0, figures[INFLIGHT][unknown] - figures[RUNNING][unknown])

    @property
    def waiting(self) -> NDArray[np.float64]:
        """Requests queued in the engine; 0 where that is unknown or too old, as in all that was scraped."""
        column: NDArray[np.float64] = self.figures[WAITING]
        return column

    @property
    def running(self) -> NDArray[np.float64]:
        """Requests the engine answers."""
        column: NDArray[np.float64] = self.figures[RUNNING]
        return column

    @property
    def kv_usage(self) -> NDArray[np.float64]:
        """Share of the KV cache in use, 0 to 1; the worst known where an engine does not say."""
        column: NDArray[np.float64] = self.figures[KV_USAGE]
        return column

    @property
    def inflight(self) -> NDArray[np.float64]:
        """Own requests at the endpoint."""
        column: NDArray[np.float64] = self.figures[INFLIGHT]
        return column

    @property
    def unseen(self) -> NDArray[np.float64]:
        """Own requests that began after the last scrape."""
        column: NDArray[np.float64] = self.figures[UNSEEN]
        return column

    @property
    def tokens(self) -> NDArray[np.float64]:
        """Prompt tokens of own requests that were not expected in the endpoint's cache."""
        column: NDArray[np.float64] = self.figures[TOKENS]
        return column

    @property
    def scraped_at(self) -> NDArray[np.float64]:
        """When the scraped figures were scraped, monotonic seconds; -inf is never."""
        column: NDArray[np.float64] = self.figures[SCRAPED_AT]
        return column

    @property
    def ejected_until(self) -> NDArray[np.float64]:
        """Left out until then for failing, monotonic seconds; 0 is not."""
        column: NDArray[np.float64] = self.figures[EJECTED_UNTIL]
        return column

    def __len__(self) -> int:
        return len(self.candidates.all)

    @property
    def cached_bytes(self) -> NDArray[np.float64]:
        """Bytes of the request's prompt each candidate probably holds in its prefix cache."""
        cached = self._cached_bytes
        if cached is None:
            cached = self._cached_bytes = self._cached()
        return cached

    @property
    def held(self) -> Mapping[int, float] | None:
        """Bytes of the request's prompt by row, of the endpoints that probably hold any.

        None where these are many, or the candidates' models differ.
        """
        if self._held is None:
            prompt, models = self.request.prompt, self.candidates.models
            if prompt is None or not prompt.hashes:
                self._held = _NOTHING_HELD
            elif len(models) == 1:
                self._held = self.knowledge.prefixes.few_holders(prompt.of_model(models[0][0]))
        return self._held

    def cached_at(self, index: int) -> float:
        """Bytes of the prompt that one candidate probably holds."""
        held = self._held
        if held is None:
            return float(self.cached_bytes[index])
        return held.get(self.candidates.rows.item(index), 0.0)

    def _cached(self) -> NDArray[np.float64]:
        candidates, prompt = self.candidates, self.request.prompt
        prefixes, rows = self.knowledge.prefixes, candidates.rows
        cached = None
        if prompt is None or not prompt.hashes:
            return np.zeros(len(rows))
        for root, members in candidates.models:
            if not prefixes.holds(prompt.first_of_model(root)):
                continue
            held = prefixes.cached_bytes(prompt.of_model(root), self.table.capacity)
            if held is None:
                continue
            if members is candidates.all:
                return held.take(rows)
            if cached is None:
                cached = np.zeros(len(rows))
            cached[members] = held[rows[members]]
        return np.zeros(len(rows)) if cached is None else cached
