"""Own requests that must have ended, by what their engine reports: for gateways that never say so themselves.

A gateway whose ext_proc stream ends with the pick tells nothing of the answer, so its requests would count
as in flight for as long as the engine is not idle. But an engine that holds four requests cannot hold
twenty of ours: of those that had time to show on its pages, all beyond what it reports have ended.

A page may lag (engines write it between steps) and a request may be slow to arrive, so that must be so on
every page for some seconds. Requests of others are in the reported figure too, which makes the bound
looser and never wrong. Which of ours ended nobody knows; the oldest are taken, whose prompts are computed
by then.
"""

import math
from collections.abc import Callable, Iterable
from itertools import takewhile
from typing import Final

VISIBLE_AFTER_SECONDS: Final = 1.0
"""How long a request may take from its pick to its engine's page."""
PERSISTS_SECONDS: Final = 5.0
"""How long an excess must last, without a break."""


class Retirement:
    """Watches one engine's pages."""

    def __init__(
        self,
        *,
        visible_after_seconds: float = VISIBLE_AFTER_SECONDS,
        persists_seconds: float = PERSISTS_SECONDS,
    ) -> None:
        self._visible_after_seconds = visible_after_seconds
        self._persists_seconds = persists_seconds
        self._since = math.inf
        """When the first page of the unbroken run that shows an excess was asked for."""
        self._least = 0
        """The smallest excess of that run."""

    def due(
        self, count: int, newest_first: Callable[[], Iterable[float]], reported: float, scraped_at: float
    ) -> int:
        """How many of the oldest own requests have ended for certain, now that another page is here.

        `count` requests are in flight at the engine, picked at the times that `newest_first` yields, of
        which no more are looked at than came lately; `reported` is what the engine says to run and to
        have waiting, on a page asked for at `scraped_at`. All times are monotonic seconds. Those
        returned must not be counted, nor handed in, again.
        """
        excess = self._visible(count, newest_first, scraped_at) - math.ceil(reported)
        if excess <= 0:
            self._since = math.inf
            return 0
        if self._since == math.inf:
            self._since, self._least = scraped_at, excess
        self._least = min(self._least, excess)
        if scraped_at - self._since < self._persists_seconds:
            return 0
        # those that came later may be the excess on some of the pages
        throughout = self._visible(count, newest_first, self._since)
        self._since = math.inf
        return min(self._least, throughout)

    def _visible(self, count: int, newest_first: Callable[[], Iterable[float]], at: float) -> int:
        """Those that a page asked for then must show while they last."""
        before = at - self._visible_after_seconds
        return count - sum(1 for _ in takewhile(lambda began: began >= before, newest_first()))
