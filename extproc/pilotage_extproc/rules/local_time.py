"""Hour and weekday where the gateway's users are."""

from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo


class LocalTime:
    """The clock that conditions read."""

    def __init__(self, zone: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._zone = UTC if zone == "UTC" else ZoneInfo(zone)
        self._now = now

    def hour(self) -> int:
        """0 to 23."""
        return self._now().astimezone(self._zone).hour

    def weekday(self) -> int:
        """1 (Monday) to 7 (Sunday)."""
        return self._now().astimezone(self._zone).isoweekday()
