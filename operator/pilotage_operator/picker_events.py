"""Events on resources whose status belongs to others, such as InferencePools, of what pickers say of them."""

import asyncio
from collections.abc import Callable
from typing import Final, NoReturn

from pilotage_kube.clock import Time, within
from pilotage_kube.replica_report import ReplicaReport
from pilotage_operator.event_writer import EventWriter
from pilotage_operator.picker_refusals import PickerNews

LOOK_SECONDS: Final = 15.0
"""How often to look without being woken: for what could not be written, and for what is over."""


class PickerEvents:
    """Tells each problem once; `run` it as a task, `wake` it when reports change."""

    def __init__(
        self, reports: Callable[[], tuple[ReplicaReport, ...]], events: EventWriter, *, clock: Time
    ) -> None:
        self._reports = reports
        self._events = events
        self._clock = clock
        self._news = PickerNews()
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """Reports have changed."""
        self._changed.set()

    async def run(self) -> NoReturn:
        """Tell until cancelled."""
        while True:
            self._changed.clear()
            found, again = self._news.look(self._reports(), self._clock())
            for news in found:
                if await self._events.tell_once(news.subject, news.told):
                    self._news.settle(news, self._clock())
            try:
                await within(self._clock, min(again or LOOK_SECONDS, LOOK_SECONDS), self._changed.wait())
            except TimeoutError:
                continue
