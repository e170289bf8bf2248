"""Endpoints that fail again and again are left out for a time, then tried again.

Consecutive failures, as Envoy's outlier detection counts them
(https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier): one success ends a
row. An endpoint that comes back is on probation: its next failure sends it away at once, for longer.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pilotage_extproc.state.endpoints import EndpointTable

LONGEST_TOLD_SECONDS = 3600.0
MOST_TIMES = 10
"""An ejection lasts at most so many times the pool's `ejectionTime`."""


@dataclass(slots=True)
class _Trouble:
    """What one endpoint did lately."""

    generation: int
    failures: int = 0
    """In a row."""
    ejections: int = 0
    """One after the other, each as many times as long."""
    back_at: float = 0.0
    """When the last ejection ended or ends, monotonic seconds."""


class HealthLedger:
    """Owns the column `ejected_until` of the endpoint table."""

    def __init__(
        self,
        table: EndpointTable,
        *,
        on_ejected: Callable[[str], None] = lambda _: None,
        on_left_alone: Callable[[str, float], None] = lambda _address, _seconds: None,
    ) -> None:
        """`on_ejected` is told the address of one that failed; `on_left_alone` of each that this process has
        found out should be left alone, and for how long."""
        self._table = table
        self._on_ejected = on_ejected
        self._on_left_alone = on_left_alone
        self._troubles: dict[int, _Trouble] = {}

    def failed(self, row: int, now: float) -> None:
        """A request failed at the endpoint, or it could not be reached."""
        table = self._table
        address = table.address_of(row)
        facts = table.facts_of(address) if address is not None else None
        if address is None or facts is None:
            return
        trouble = self._of(row)
        if table.ejected_until[row] > now:
            return  # requests that were under way when it was ejected tell nothing new
        trouble.failures += 1
        if trouble.failures < facts.health.consecutive_failures:
            return
        step = facts.health.ejection_seconds
        healthy = int(max(0.0, now - trouble.back_at) / step)
        trouble.ejections = min(MOST_TIMES, max(0, trouble.ejections - healthy) + 1)
        trouble.back_at = now + step * trouble.ejections
        trouble.failures = facts.health.consecutive_failures - 1
        table.eject(row, trouble.back_at)
        self._on_ejected(address)
        self._on_left_alone(address, trouble.back_at - now)

    def succeeded(self, row: int) -> None:
        """A request was answered by the endpoint."""
        trouble = self._troubles.get(row)
        if trouble is not None:
            trouble.failures = 0

    def rest(self, row: int, seconds: float, now: float) -> None:
        """The endpoint asked to be left alone for so long."""
        address = self._table.address_of(row)
        if address is not None and self._table.ejected_until[row] < now + seconds:
            self._table.eject(row, now + seconds)
            self._on_left_alone(address, seconds)

    def told(self, address: str, seconds: float, now: float) -> None:
        """Another process leaves this endpoint alone for so long."""
        row = self._table.row_of(address)
        if row is not None and self._table.ejected_until[row] < now + seconds:
            self._table.eject(row, now + min(seconds, LONGEST_TOLD_SECONDS))

    def unreachable(self, row: int, until: float) -> None:
        """Nobody listens at the endpoint: it is ejected until then, or until it is found again."""
        if self._table.ejected_until[row] < until:
            self._table.unreachable[row] = True
            self._table.eject(row, until)

    def reachable(self, row: int) -> None:
        """The endpoint listens."""
        if self._table.unreachable[row]:
            self._table.unreachable[row] = False
            self._table.eject(row, self._of(row).back_at)

    def readmit(self, now: float) -> None:
        """Take back endpoints whose time is over."""
        table = self._table
        if not table.ejections:
            return
        for row in ((table.ejected_until > 0) & (table.ejected_until <= now)).nonzero()[0].tolist():
            table.eject(row, 0)
            table.unreachable[row] = False

    def _of(self, row: int) -> _Trouble:
        generation = int(self._table.generation[row])
        trouble = self._troubles.get(row)
        if trouble is None or trouble.generation != generation:
            trouble = self._troubles[row] = _Trouble(generation)
        return trouble
