"""Budgets begin anew where their users are: at local midnight, in months of any length, over summer time."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage_api.periods import Calendar, PeriodLength

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia"]
moments = st.integers(1_300_000_000, 2_000_000_000).map(lambda at: datetime.fromtimestamp(at, UTC))


@given(moments, st.sampled_from(ZONES), st.sampled_from(PeriodLength))
def test_a_moment_is_in_its_period_and_periods_follow_each_other(moment, zone, length):
    calendar = Calendar(length, zone)
    at = moment.timestamp()
    period = calendar.at(at)
    assert period.start <= at < period.end
    assert Calendar(length, zone).at(period.start) == period
    assert Calendar(length, zone).at(period.end - 1) == period
    assert Calendar(length, zone).at(period.end).start == period.end


@given(moments, st.sampled_from(ZONES))
def test_days_begin_at_midnight_and_months_on_the_first(moment, zone):
    for length in (PeriodLength.DAY, PeriodLength.WEEK, PeriodLength.MONTH):
        start = datetime.fromtimestamp(Calendar(length, zone).at(moment.timestamp()).start, ZoneInfo(zone))
        assert (start.minute, start.second) == (0, 0) or zone == "Pacific/Apia"
        if length is PeriodLength.MONTH:
            assert start.day == 1
        if length is PeriodLength.WEEK:
            assert start.weekday() == 0


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)])
def test_a_day_of_summer_time_is_as_long_as_it_is(day, hours):
    noon = datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=ZoneInfo("Europe/Berlin"))
    period = Calendar(PeriodLength.DAY, "Europe/Berlin").at(noon.timestamp())
    assert period.end - period.start == hours * 3600


def test_a_year_has_twelve_months():
    calendar = Calendar(PeriodLength.MONTH, "America/New_York")
    at = datetime(2028, 1, 15, tzinfo=UTC).timestamp()
    starts = []
    for _ in range(13):
        period = calendar.at(at)
        starts.append(period.start)
        at = period.end
    days = [
        round(timedelta(seconds=after - before) / timedelta(days=1)) for before, after in pairwise(starts)
    ]
    assert days == [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
