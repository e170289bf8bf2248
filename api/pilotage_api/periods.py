"""Calendar periods of budgets, where the budget's users are."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo


class PeriodLength(StrEnum):
    """How long a budget lasts until it is full again."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    """From Monday."""
    MONTH = "month"


class Period(NamedTuple):
    """Seconds since the epoch."""

    start: int
    end: int
    """The first second that is not part of it."""


class Calendar:
    """The periods of one length in one time zone."""

    def __init__(self, length: PeriodLength, zone: str) -> None:
        """`zone` is an IANA name. Raises ZoneInfoNotFoundError."""
        self._length = length
        self._zone = UTC if zone == "UTC" else ZoneInfo(zone)
        self._last = Period(0, 0)

    def at(self, epoch_seconds: float) -> Period:
        """The period that a moment is in; a day of summer time may have 23 or 25 hours."""
        if not self._last.start <= epoch_seconds < self._last.end:
            self._last = self._find(epoch_seconds)
        return self._last

    def _find(self, epoch_seconds: float) -> Period:
        local = datetime.fromtimestamp(epoch_seconds, self._zone)
        if self._length is PeriodLength.HOUR:
            start = int(epoch_seconds) - local.minute * 60 - local.second
            return Period(start, start + 3600)
        first = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        if self._length is PeriodLength.DAY:
            following = first + timedelta(days=1)
        elif self._length is PeriodLength.WEEK:
            first -= timedelta(days=first.weekday())
            following = first + timedelta(days=7)
        else:
            first = first.replace(day=1)
            following = (first + timedelta(days=32)).replace(day=1)
        return Period(int(first.timestamp()), int(following.timestamp()))
