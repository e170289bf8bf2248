"""What conditions read of pools: whether one is ready, how full it is, how many requests wait.

The figures of one moment are pure functions of the endpoint table. What a condition is given is held
against flapping: see `SteadyPools`.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from pilotage_api.snapshot import SaturationSnapshot
from pilotage_extproc.rules.condition import UNKNOWN
from pilotage_extproc.state.endpoints import EndpointTable

_Figure = TypeVar("_Figure", int, float)

DEFAULT_QUEUE_DEPTH: Final = 5
DEFAULT_KV_CACHE: Final = 0.8
"""Bounds where the pool sets none: those of Gateway API Inference Extension's saturation detector."""


@dataclass(slots=True, frozen=True)
class PoolFigures:
    """One pool at one moment. None is unknown: no server that takes requests shows its load."""

    ready: bool
    saturation: float | None
    """1.0 is full, more is beyond."""
    queue: int | None
    """Requests."""


def pool_figures(
    table: EndpointTable, rows: NDArray[np.intp], bounds: SaturationSnapshot, now: float
) -> PoolFigures:
    """Figures of the servers in these rows that take requests; a pool without such is full.

    A server's saturation is the larger of its queue and its KV cache against the pool's bounds; the pool's
    is the mean. A share that a server does not show is taken to be the worst that any other shows; one that
    none shows does not count. Own requests that a server with a queue got since it was scraped count as
    waiting: other requests would otherwise be sent after them until the next scrape.
    """
    usable = table.admitted[rows] & ~table.draining[rows] & (table.ejected_until[rows] <= now)
    rows = rows[usable]
    if not len(rows):
        return PoolFigures(ready=False, saturation=1.0, queue=0)
    measured = rows[table.scraped_at[rows] > -np.inf]
    if not len(measured):
        return PoolFigures(ready=True, saturation=None, queue=None)
    waiting = _worst_for_unknown(table.waiting[measured])
    kv_usage = _worst_for_unknown(table.kv_usage[measured])
    shares = []
    if waiting is not None:
        waiting = np.where(waiting > 0, waiting + table.unseen[measured], 0.0)
        shares.append(waiting / (bounds.queue_depth or DEFAULT_QUEUE_DEPTH))
    if kv_usage is not None:
        shares.append(kv_usage / (bounds.kv_cache_utilization or DEFAULT_KV_CACHE))
    return PoolFigures(
        ready=True,
        saturation=float(np.maximum.reduce(shares).mean()) if shares else None,
        queue=None if waiting is None else int(waiting.sum()),
    )


def _worst_for_unknown(figures: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """With the largest that is known for each that is not; None where none is."""
    unknown = np.isnan(figures)
    if not unknown.any():
        return figures
    return None if unknown.all() else np.where(unknown, np.nanmax(figures), figures)


FALL: Final = 2.0
"""A held figure is at most this many times the figure of the moment."""
READY_AGAIN_SECONDS: Final = 1.0
"""So long a pool has to be ready before it counts as ready again."""
FRESH_SECONDS: Final = 0.01
"""Figures are computed at most once in this time."""
IDLE_SECONDS: Final = 10.0
"""What nobody read for so long is not held against the figure of the moment."""


@dataclass(slots=True)
class _Held:
    figures: PoolFigures
    computed_at: float
    not_ready_at: float = -np.inf


class SteadyPools:
    """Figures of pools, held against flapping.

    Saturation and queue rise at once, and fall only where they are below half of what is held:
    `held = max(figure, min(held, 2 * figure))`. So whatever number a condition compares with, it is entered
    there and left at half of it. A pool that was not ready is ready again after a second (see decision
    0096).
    """

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}

    def figures(
        self,
        pool: str,
        table: EndpointTable,
        rows: NDArray[np.intp],
        bounds: SaturationSnapshot,
        now: float,
    ) -> PoolFigures:
        """What conditions read of a pool (`namespace/name`) whose servers have these rows, at `now`."""
        held = self._held.get(pool)
        if held is not None and now - held.computed_at < FRESH_SECONDS:
            return held.figures
        found = pool_figures(table, rows, bounds, now)
        if held is None:
            held = self._held[pool] = _Held(found, now)
        if not found.ready:
            held.not_ready_at = now
        elif now - held.computed_at < IDLE_SECONDS:
            before = held.figures
            found = PoolFigures(
                ready=found.ready and now - held.not_ready_at >= READY_AGAIN_SECONDS,
                saturation=_held(before.saturation, found.saturation),
                queue=_held(before.queue, found.queue),
            )
        held.figures, held.computed_at = found, now
        return found

    def keep_only(self, pools: Collection[str]) -> None:
        """Forget all other pools."""
        self._held = {pool: held for pool, held in self._held.items() if pool in pools}


def value_of(function: str, figures: PoolFigures) -> object:
    """What a function over pools gives, `UNKNOWN` where nobody knows."""
    found: float | None = {
        "poolReady": figures.ready,
        "poolSaturation": figures.saturation,
        "poolQueue": figures.queue,
    }[function]
    if found is None or math.isnan(found):  # NaN is neither below a bound nor at it
        return UNKNOWN
    return found


def _held(before: _Figure | None, now: _Figure | None) -> _Figure | None:
    if before is None or now is None:
        return now
    return max(now, min(before, type(now)(FALL * now)))
