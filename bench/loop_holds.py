"""How long an event loop is held, in CPU time: what other programs on the machine do does not count."""

import asyncio
import time


class LoopHolds:
    """Records every hold of the loop it runs on; `run` it as a task. Costs a core while it runs."""

    def __init__(self) -> None:
        self.holds: list[float] = []
        self._began = time.monotonic()

    async def run(self) -> None:
        before = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            if now - before > 1e-4:
                self.holds.append(now - before)
            before = now

    def start_over(self) -> None:
        """Forget what was recorded."""
        self.holds.clear()
        self._began = time.monotonic()

    def wait(self, share: float) -> float:
        """The wait that this share of requests, arriving at any moment since then, stays below: seconds.

        A request that arrives in a hold waits for its end, one that arrives outside does not wait.
        """
        passed = time.monotonic() - self._began
        low, high = 0.0, max(self.holds, default=0.0)
        for _ in range(40):
            middle = (low + high) / 2
            waiting = sum(hold - middle for hold in self.holds if hold > middle)
            low, high = (low, middle) if waiting / passed <= 1 - share else (middle, high)
        return high
