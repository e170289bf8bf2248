"""The clock that rules read."""

from datetime import UTC, datetime

from pilotage_extproc.rules.local_time import LocalTime


def test_hour_and_weekday_are_those_of_the_zone():
    late_on_a_sunday = datetime(2026, 7, 5, 22, 30, tzinfo=UTC)
    clock = LocalTime("Europe/Berlin", lambda: late_on_a_sunday)
    assert (clock.hour(), clock.weekday()) == (0, 1)
    clock = LocalTime("UTC", lambda: late_on_a_sunday)
    assert (clock.hour(), clock.weekday()) == (22, 7)
