"""What has to be done from time to time, whatever requests do."""

import asyncio
from typing import Final, NoReturn

from pilotage_api.settings import ScrapeSettings
from pilotage_extproc.domain.clock import Clock
from pilotage_extproc.server.state import ProcessState
from pilotage_extproc.sources.scrape import Scraper
from pilotage_extproc.state.waiting_line import WaitingLine

_INTERVAL_SECONDS: Final = 0.25
_STALE_SCRAPES: Final = 3


class Upkeep:
    """Gives up what has become too old, and lets ejected endpoints back."""

    def __init__(
        self,
        state: ProcessState,
        line: WaitingLine,
        scraper: Scraper,
        settings: ScrapeSettings,
        clock: Clock,
    ) -> None:
        self._state = state
        self._line = line
        self._scraper = scraper
        self._settings = settings
        self._clock = clock

    async def run(self) -> NoReturn:
        """Until cancelled."""
        while True:
            await asyncio.sleep(_INTERVAL_SECONDS)
            self.tidy(self._clock())

    def tidy(self, now: float) -> None:
        """Once."""
        state = self._state
        state.ledger.expire(now)
        state.table.expire_older_than(now - self.stale_after_seconds)
        state.health.readmit(now)
        state.accounting.memory.expire(now)
        self._line.room_changed()

    @property
    def stale_after_seconds(self) -> float:
        """How old engine metrics may be: as set, and never less than a few scrapes take."""
        scrapes = _STALE_SCRAPES * self._scraper.interval_seconds(busy=False)
        return max(self._settings.stale_after_seconds, scrapes + self._settings.timeout_seconds)
