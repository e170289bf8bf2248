"""Which streams are asked for usage that their client did not ask for."""

import pytest

from pilotage_extproc.dialects.stream_usage import leaves_usage_open
from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.domain.head import CallKind


@pytest.mark.parametrize(
    "options", [{}, {"stream_options": None}, {"stream_options": {}}, {"stream_options": {"other": 1}}]
)
def test_a_stream_whose_client_says_nothing_leaves_it_open(options):
    assert leaves_usage_open(DIALECTS[CallKind.CHAT], {"stream": True, **options})
    assert leaves_usage_open(DIALECTS[CallKind.COMPLETIONS], {"stream": True, **options})


@pytest.mark.parametrize("options", [{"include_usage": True}, {"include_usage": False}, "odd", 1, []])
def test_a_client_that_says_anything_else_is_left_alone(options):
    assert not leaves_usage_open(DIALECTS[CallKind.CHAT], {"stream": True, "stream_options": options})


def test_what_is_no_stream_or_carries_usage_anyway_has_nothing_to_ask_for():
    assert not leaves_usage_open(DIALECTS[CallKind.CHAT], {})
    assert not leaves_usage_open(DIALECTS[CallKind.CHAT], {"stream": None})
    assert not leaves_usage_open(DIALECTS[CallKind.RESPONSES], {"stream": True})
    assert not leaves_usage_open(DIALECTS[CallKind.MESSAGES], {"stream": True})
