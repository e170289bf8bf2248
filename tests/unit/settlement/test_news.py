"""What processes tell each other of failures and of load."""

import pytest

from pilotage_extproc.domain.failed_attempt import FailedAttempt
from pilotage_extproc.settlement.news import BreakerNews, EjectionNews, LoadNews, decode_news, encode_news

NEWS = [
    FailedAttempt("a-1", "10.0.0.1:80", 2, 429, ("x",), 0.5, 7.0),
    BreakerNews("default/p", "m", 10.0),
    BreakerNews("default/p", "", None),
    EjectionNews("10.0.0.1:80", 3.0),
    LoadNews("p", True, {"10.0.0.1:80": 3}, {"a/b": (1, 0.05, {"t": 2.0})}, [(["a/b"], 1, "t", 9.5)]),
]
BAD_LOAD = b'[{"kind":"load","process":"p","everything":true,"servers":{"a":"x"},"waiting":{},"charges":[]}]'


def test_a_batch_arrives_as_it_was_sent():
    assert decode_news(encode_news(NEWS)) == NEWS


def test_news_of_a_later_version_are_passed_over():
    later = b'[{"kind": "weather"}, {"kind": "ejection", "address": "a", "seconds": 1, "mood": 2}]'
    assert decode_news(later) == [EjectionNews("a", 1)]


@pytest.mark.parametrize(
    "data", [b"", b"{}x", b"[1]", b"[{}]", b'[{"kind":"ejection"}]', b'{"kind":1}', BAD_LOAD]
)
def test_anything_else_is_refused(data):
    with pytest.raises(ValueError, match="no batch of news"):
        decode_news(data)
