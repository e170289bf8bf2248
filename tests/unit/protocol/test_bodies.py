"""Bounds on the bodies a process holds."""

import pytest

from pilotage_extproc.domain.errors import Refusal, RequestRefused
from pilotage_extproc.protocol.bodies import BodyBudget


def test_a_body_past_its_bound_is_refused_with_413() -> None:
    budget = BodyBudget(max_bytes=10, max_total_bytes=100)
    budget.take(10, body_bytes=10)
    with pytest.raises(RequestRefused) as refused:
        budget.take(1, body_bytes=11)
    assert refused.value.reason is Refusal.BODY_TOO_LARGE
    assert budget.held_bytes == 10


def test_all_bodies_together_past_the_bound_are_refused_with_retry_after() -> None:
    budget = BodyBudget(max_bytes=10, max_total_bytes=15)
    budget.take(10, body_bytes=10)
    with pytest.raises(RequestRefused) as refused:
        budget.take(10, body_bytes=10)
    assert refused.value.reason is Refusal.OVERLOADED
    assert refused.value.retry_after_seconds == 1
    budget.release(10)
    budget.take(10, body_bytes=10)
