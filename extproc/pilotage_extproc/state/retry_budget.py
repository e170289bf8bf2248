"""How many retries a pool takes: a share of the requests that could go there, and a floor.

Retries multiply the load of servers that are in trouble already. As in Finagle and Linkerd
(https://twitter.github.io/finagle/guide/Clients.html#retries): each request adds a part of a retry to a
bucket, each retry takes one out, and a few a second are always allowed. Only pools that have had retries
lately are counted at all.
"""

from dataclasses import dataclass
from typing import Final

SHARE: Final = 0.2
"""Retries for each request whose list has the pool."""
FLOOR_PER_SECOND: Final = 10.0
CAPACITY: Final = 10 * FLOOR_PER_SECOND
"""Retries that can come at once; also how deep in debt a pool gets."""


@dataclass(slots=True)
class _Bucket:
    retries: float
    at: float
    """When it was filled last, monotonic seconds."""


class RetryBudget:
    """Buckets of pools that retries have gone to."""

    def __init__(self) -> None:
        self._buckets: dict[str, _Bucket] = {}
        self.troubled = False
        """Whether any pool's bucket is not full: while none is, nothing has to be told or asked."""

    def requested(self, pool: str) -> None:
        """A request whose list has this pool (`namespace/name`) was decided."""
        bucket = self._buckets.get(pool)
        if bucket is not None:
            bucket.retries = min(CAPACITY, bucket.retries + SHARE)

    def retried(self, pool: str, now: float) -> None:
        """A retry went there."""
        bucket = self._filled(pool, now)
        if bucket is None:
            bucket = self._buckets[pool] = _Bucket(CAPACITY, now)
            self.troubled = True
        bucket.retries = max(-CAPACITY, bucket.retries - 1)

    def allows(self, pool: str, now: float) -> bool:
        """Whether one more may go there."""
        bucket = self._filled(pool, now)
        return bucket is None or bucket.retries >= 1

    def _filled(self, pool: str, now: float) -> _Bucket | None:
        bucket = self._buckets.get(pool)
        if bucket is None:
            return None
        bucket.retries += FLOOR_PER_SECOND * max(0.0, now - bucket.at)
        bucket.at = now
        if bucket.retries >= CAPACITY:
            del self._buckets[pool]
            self.troubled = bool(self._buckets)
            return None
        return bucket
