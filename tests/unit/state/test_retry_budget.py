"""Retries of a pool: a share of its requests, and a floor."""

from hypothesis import given
from hypothesis import strategies as st

from pilotage_extproc.state.retry_budget import CAPACITY, FLOOR_PER_SECOND, SHARE, RetryBudget

NOW = 1000.0


def test_a_pool_without_retries_is_not_counted():
    budget = RetryBudget()
    budget.requested("p")
    assert budget.allows("p", NOW)
    assert not budget.troubled


def test_a_burst_is_taken_and_then_no_more_than_the_floor():
    budget = RetryBudget()
    for _ in range(int(CAPACITY)):
        assert budget.allows("p", NOW)
        budget.retried("p", NOW)
    assert not budget.allows("p", NOW)
    assert budget.allows("other", NOW)
    assert budget.allows("p", NOW + 1.001 / FLOOR_PER_SECOND)


def test_requests_bring_their_share():
    budget = RetryBudget()
    for _ in range(int(CAPACITY)):
        budget.retried("p", NOW)
    for _ in range(round(1 / SHARE)):
        budget.requested("p")
    assert budget.allows("p", NOW)


def test_what_has_recovered_is_forgotten():
    budget = RetryBudget()
    budget.retried("p", NOW)
    assert budget.troubled
    assert budget.allows("p", NOW + 1)
    assert not budget.troubled


@given(
    st.lists(st.tuples(st.sampled_from(["request", "retry"]), st.floats(0, 0.2)), max_size=400),
)
def test_in_any_time_retries_that_were_allowed_stay_within_the_budget(events):
    budget, now, requests, retries = RetryBudget(), NOW, 0, 0
    for what, after in events:
        now += after
        if what == "request":
            budget.requested("p")
            requests += 1
        elif budget.allows("p", now):
            budget.retried("p", now)
            retries += 1
    assert retries <= CAPACITY + SHARE * requests + FLOOR_PER_SECOND * (now - NOW) + 1
