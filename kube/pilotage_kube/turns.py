"""Long work on the event loop, cut into short turns."""

import asyncio
import time

TURN_SECONDS = 0.002


class Turns:
    """Lets others run whenever a turn has lasted long enough; cheap to ask often."""

    def __init__(self, seconds: float = TURN_SECONDS) -> None:
        self._seconds = seconds
        self._began = time.perf_counter()

    async def give(self) -> None:
        """Give the event loop away if this turn is over."""
        if time.perf_counter() - self._began >= self._seconds:
            await asyncio.sleep(0)
            self._began = time.perf_counter()
