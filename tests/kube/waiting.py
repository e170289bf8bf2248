"""Waiting for a condition on a real system, with a bound."""

import asyncio
import time
from collections.abc import Callable


async def until(holds: Callable[[], object], seconds: float = 30.0, what: str = "") -> float:
    """Return how long it took until `holds()`; fail after `seconds`."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, what or "not in time"
        await asyncio.sleep(0.01)
    return time.monotonic() - began
