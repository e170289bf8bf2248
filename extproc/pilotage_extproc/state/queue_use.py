"""What waits of one policy, and who has to go where no more may."""

from collections.abc import Iterable
from typing import NamedTuple

from pilotage_extproc.state.waiter import Waiter


class _Part(NamedTuple):
    """Of one tenant."""

    requests: int = 0
    size: int = 0
    """Bytes of bodies."""

    def changed(self, waiter: Waiter, by: int) -> "_Part":
        """With one more or less."""
        return _Part(self.requests + by, self.size + by * waiter.body_bytes)

    def share(self, waiter: Waiter) -> float:
        """Of what may wait at all, over its tenant's weight."""
        bounds = waiter.bounds
        return max(self.requests / bounds.max_requests, self.size / bounds.max_bytes) / waiter.weight


class QueueUse:
    """Requests, and bytes of their bodies, within the bounds that each waiter brings along."""

    def __init__(self) -> None:
        self.waiting: dict[Waiter, None] = {}
        self._all = _Part()
        self._sheddable = 0
        self._parts: dict[str, _Part] = {}

    @property
    def bytes(self) -> int:
        """Of all bodies that wait."""
        return self._all.size

    def add(self, waiter: Waiter) -> None:
        """It waits."""
        self.waiting[waiter] = None
        self._all = self._all.changed(waiter, 1)
        self._sheddable += waiter.priority < 0
        self._parts[waiter.tenant] = self._parts.get(waiter.tenant, _Part()).changed(waiter, 1)

    def remove(self, waiter: Waiter) -> None:
        """It waits no more."""
        del self.waiting[waiter]
        self._all = self._all.changed(waiter, -1)
        self._sheddable -= waiter.priority < 0
        part = self._parts.pop(waiter.tenant).changed(waiter, -1)
        if part.requests:
            self._parts[waiter.tenant] = part

    def in_the_way_of(self, waiter: Waiter) -> list[Waiter] | None:
        """Those that have to go so that it may wait; None where it may not.

        First of the lowest priority below 0, the last that came first. Then of the tenant with the largest
        share of the queue by its weight, as long as that is larger than the newcomer's would be: so nobody
        fills the queue for others. Those whose turn it is stay.
        """
        gone: dict[Waiter, None] = {}
        left, parts = self._all, dict(self._parts)
        own = parts.get(waiter.tenant, _Part()).changed(waiter, 1)
        bounds = waiter.bounds
        while left.requests >= bounds.max_requests or left.size + waiter.body_bytes > bounds.max_bytes:
            found = self._sheddable_below(waiter.priority, gone)
            if found is None:
                found = self._beyond_its_share(waiter, own, parts, gone)
            if found is None:
                return None
            gone[found] = None
            left = left.changed(found, -1)
            parts[found.tenant] = parts[found.tenant].changed(found, -1)
        return list(gone)

    def _sheddable_below(self, priority: int, gone: dict[Waiter, None]) -> Waiter | None:
        if not self._sheddable:
            return None
        found: Iterable[Waiter] = (
            one
            for one in reversed(self.waiting)
            if one.priority < min(priority, 0) and not one.has_turn and one not in gone
        )
        return min(found, key=lambda one: one.priority, default=None)

    def _beyond_its_share(
        self, waiter: Waiter, own: _Part, parts: dict[str, _Part], gone: dict[Waiter, None]
    ) -> Waiter | None:
        most, last = own.share(waiter), None
        looked_at = {waiter.tenant}
        for one in reversed(self.waiting):
            if len(looked_at) > len(parts):
                break
            if one.tenant in looked_at or one in gone or one.has_turn or one.priority > waiter.priority:
                continue
            looked_at.add(one.tenant)
            share = parts[one.tenant].share(one)
            if share > most:
                most, last = share, one
        return last
