"""How long servers ask to be left alone."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage_extproc.envoy.rate_limits import HEADERS, stay_away_seconds

NOW = dt.datetime(2026, 11, 28, 12, 0, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "Sat, 28 Nov 2026 12:00:30 GMT"}, 30),
        ({"retry-after": "Sat, 28 Nov 2026 11:00:30 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m30s"}, 90),
        ({"x-ratelimit-remaining-requests": "5", "x-ratelimit-reset-requests": "1m30s"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "20ms"}, 0.02),
        (
            {
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-reset": "2026-11-28T12:00:10Z",
                "anthropic-ratelimit-input-tokens-remaining": "0",
                "anthropic-ratelimit-input-tokens-reset": "2026-11-28T12:01:00Z",
            },
            60,
        ),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "x"}, None),
        ({"x-ratelimit-remaining-requests": "0"}, None),
    ],
)
def test_each_way_to_say_so_is_understood(headers, seconds):
    assert stay_away_seconds(headers, NOW) == (None if seconds is None else pytest.approx(seconds))


@given(st.dictionaries(st.sampled_from(HEADERS), st.text(max_size=80) | st.just("0"), max_size=6))
def test_whatever_a_server_says_nothing_is_raised_and_no_time_is_negative(headers):
    said = stay_away_seconds(headers, NOW)
    assert said is None or said >= 0
