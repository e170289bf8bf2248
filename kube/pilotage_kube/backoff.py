"""How long to wait before trying again: longer each time, never past a bound, never in step with others."""

import random


class Backoff:
    """Doubling delays with jitter. A replica herd thus spreads over half of each delay."""

    def __init__(
        self,
        first_seconds: float = 0.05,
        limit_seconds: float = 5.0,
        *,
        chance: random.Random | None = None,
    ) -> None:
        self._first = first_seconds
        self._limit = limit_seconds
        self._next = first_seconds
        self._chance = chance or random.Random()  # noqa: S311 - spreads load, guards nothing

    def delay(self, at_least: float = 0.0) -> float:
        """Seconds to wait now; the next call answers twice as much. A server's wish (`at_least`) is kept."""
        seconds = self._next * self._chance.uniform(0.5, 1.0)
        self._next = min(self._next * 2, self._limit)
        return max(seconds, at_least)

    def reset(self) -> None:
        """Begin anew: what was tried has worked."""
        self._next = self._first
