"""Which server made a stored response, and who may have it."""

from dataclasses import replace

from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.state.responses import ResponseOwners

MADE = replace(Outcome.answered(200), response_id="resp_1", upstream_address="10.0.0.1:80")


def withheld(*outcomes: Outcome) -> bool:
    owners = ResponseOwners()
    for one in outcomes:
        owners.learn_from(one)
    found = owners.find("resp_1")
    assert found is not None
    return found.withheld


def test_a_response_that_rules_have_not_seen_to_its_end_is_withheld() -> None:
    assert not withheld(MADE)
    assert withheld(replace(MADE, answer_cut=True))
    assert withheld(replace(MADE, answer_cut=True), MADE)


def test_a_tenant_that_stores_much_makes_no_other_s_responses_unreachable() -> None:
    owners = ResponseOwners(capacity=3)
    owners.learn("resp_quiet", "10.0.0.1:80", "quiet")
    for number in range(9):
        owners.learn(f"resp_{number}", "10.0.0.1:80", "loud")
    assert owners.find("resp_quiet") is not None
    assert [owners.find(f"resp_{number}") is not None for number in (6, 7, 8)] == [False, True, True]


def test_who_leaves_a_later_reading_may_read_it_again() -> None:
    assert not withheld(MADE, replace(MADE, answer_cut=True))
    assert withheld(MADE, replace(MADE, answer_content=("secret:block:1",)))
