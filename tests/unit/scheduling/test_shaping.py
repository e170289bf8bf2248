"""The list of attempts of a rule with a fallback: which models stand in it, and where."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scheduling_fleet import NOW, Fleet

from pilotage_api.fallback import AT_ATTEMPT, AT_DECISION, FallbackReason
from pilotage_api.snapshot import SaturationSnapshot
from pilotage_extproc.scheduling.shaping import Fallback, Shape

R = FallbackReason
FULL = SaturationSnapshot(queue_depth=1)


def tiers_of(fleet: Fleet, *reasons: FallbackReason, own: int = 1, misfits=None, **options) -> list[int]:
    """The tiers of the list, in order, each once."""
    fallback = Fallback(own, frozenset(reasons) & AT_DECISION, frozenset(reasons) & AT_ATTEMPT)
    ranking = fleet.rank(shape=Shape(fallback, misfits or {}), **options)
    return list(dict.fromkeys(fleet.candidates.tiers[ranking.order].tolist()))


def rows(fleet: Fleet, tier: int) -> list[int]:
    return fleet.candidates.rows[fleet.candidates.tiers == tier].tolist()


def drain(fleet: Fleet, tier: int) -> None:
    fleet.table.drain([fleet.table.address_of(row) for row in rows(fleet, tier)])


def eject(fleet: Fleet, tier: int) -> None:
    for row in rows(fleet, tier):
        fleet.table.eject(row, NOW + 5)


def fill(fleet: Fleet, tier: int) -> None:
    fleet.table.waiting[rows(fleet, tier)] = 9


def mask(fleet: Fleet, *tiers: int) -> np.ndarray:
    return np.isin(fleet.candidates.tiers, tiers)


def test_a_reason_of_attempts_puts_the_fallback_behind_the_candidates():
    assert tiers_of(Fleet(2, tiers=2), R.SERVER_ERROR) == [0, 1]


@pytest.mark.parametrize("reason", sorted(AT_DECISION - AT_ATTEMPT))
def test_with_reasons_of_the_decision_alone_a_candidate_that_serves_stands_alone(reason):
    assert tiers_of(Fleet(2, tiers=2), reason) == [0]


@pytest.mark.parametrize(
    ("reason", "befalls", "order"),
    [
        (R.UNAVAILABLE, drain, [1]),
        (R.UNHEALTHY, eject, [1, 0]),
        (R.SATURATED, fill, [1, 0]),
    ],
)
def test_a_listed_reason_leads_to_the_fallback_and_no_other_does(reason, befalls, order):
    fleet = Fleet(2, tiers=2, saturation=FULL)
    befalls(fleet, 0)
    assert tiers_of(fleet, reason) == order
    for other in AT_DECISION - AT_ATTEMPT - {reason}:
        assert 1 not in tiers_of(fleet, other), other


def test_an_unavailable_model_is_no_reason_to_fall_back_where_only_attempts_are_listed():
    fleet = Fleet(2, tiers=2)
    drain(fleet, 0)
    assert tiers_of(fleet, R.SERVER_ERROR) == []


def test_a_full_candidate_comes_behind_the_next_candidate_before_any_fallback():
    fleet = Fleet(2, tiers=3, saturation=FULL)
    fill(fleet, 0)
    assert tiers_of(fleet, R.SATURATED, own=2) == [1, 0]
    assert tiers_of(fleet, R.SATURATED, R.SERVER_ERROR, own=2) == [1, 2, 0]


def test_where_all_are_full_the_rules_own_order_holds():
    fleet = Fleet(2, tiers=3, saturation=FULL)
    for tier in range(3):
        fill(fleet, tier)
    assert tiers_of(fleet, R.SATURATED, own=2) == [0, 1, 2]


def test_one_with_room_is_enough_for_a_model_not_to_be_full():
    fleet = Fleet(2, tiers=2, saturation=FULL)
    fleet.table.waiting[rows(fleet, 0)[0]] = 9
    assert tiers_of(fleet, R.SATURATED) == [0]


@pytest.mark.parametrize("reason", [R.CONTEXT_OVERFLOW, R.CAPABILITY, R.BUDGET])
def test_a_model_that_cannot_serve_is_left_out(reason):
    fleet = Fleet(2, tiers=3)
    ranked = tiers_of(fleet, reason, misfits={reason: mask(fleet, 0, 1)})
    assert ranked == [2]
    assert tiers_of(fleet, reason, own=2, misfits={reason: mask(fleet, 0)})[0] == 1


def test_where_no_model_can_serve_the_candidates_are_asked_all_the_same():
    fleet = Fleet(2, tiers=2)
    misfits = {R.CAPABILITY: mask(fleet, 0, 1)}
    assert tiers_of(fleet, R.CAPABILITY, misfits=misfits) == [0]


def test_an_open_breaker_makes_a_model_unhealthy():
    fleet = Fleet(2, tiers=2)
    from pilotage_extproc.state.breakers import Circuit

    fleet.knowledge.breakers.stay_away(Circuit("default/a", "m0"), 5, NOW)
    assert tiers_of(fleet, R.UNHEALTHY) == [1, 0]


def test_each_model_of_the_list_keeps_a_place_however_few_attempts_the_gateway_allows():
    fleet = Fleet(4, tiers=6)
    assert tiers_of(fleet, R.CONNECT, own=2, limit=3) == [0, 1, 2, 3, 4, 5]
    ranking = fleet.rank(shape=Shape(Fallback(2, frozenset(), frozenset({R.CONNECT})), {}), limit=8)
    assert fleet.candidates.tiers[ranking.order].tolist() == [0, 0, 0, 1, 2, 3, 4, 5]


def test_models_drawn_by_weight_come_before_the_fallback():
    assert tiers_of(Fleet(2, tiers=3), R.CONNECT, own=2, tier_order=[1, 0]) == [1, 0, 2]


def test_what_was_passed_over_is_told():
    fleet = Fleet(2, tiers=3, saturation=FULL)
    fill(fleet, 0)
    fallback = Fallback(2, frozenset({R.SATURATED, R.CAPABILITY}), frozenset())
    ranking = fleet.rank(shape=Shape(fallback, {R.CAPABILITY: mask(fleet, 1)}))
    assert [(one.tier, one.reason, one.left_out) for one in ranking.passed_over] == [
        (0, R.SATURATED, False),
        (1, R.CAPABILITY, True),
    ]


states = st.sampled_from(["serves", "drained", "ejected", "full", "misfit"])


@given(
    found=st.lists(states, min_size=2, max_size=6),
    own=st.integers(1, 5),
    reasons=st.frozensets(st.sampled_from(FallbackReason)),
    limit=st.integers(1, 16),
)
def test_whatever_befalls_the_models_the_list_keeps_its_promises(found, own, reasons, limit):
    own = min(own, len(found) - 1)
    fleet = Fleet(2, tiers=len(found), saturation=FULL)
    for tier, state in enumerate(found):
        befalls = {"drained": drain, "ejected": eject, "full": fill}.get(state)
        if befalls is not None:
            befalls(fleet, tier)
    unfit = [tier for tier, state in enumerate(found) if state == "misfit"]
    misfits = {R.CAPABILITY: mask(fleet, *unfit)} if unfit and R.CAPABILITY in reasons else {}
    tiers = tiers_of(fleet, *reasons, own=own, misfits=misfits, limit=limit)
    mine, spare = [t for t in tiers if t < own], [t for t in tiers if t >= own]
    there = [tier for tier, state in enumerate(found) if state != "drained"]
    assert set(tiers) <= set(there)
    listed = {
        "serves": None,
        "drained": R.UNAVAILABLE,
        "ejected": R.UNHEALTHY,
        "full": R.SATURATED,
        "misfit": R.CAPABILITY,
    }
    passed = [listed[state] in reasons for state in found]
    if all(passed[tier] for tier in range(own)) and [t for t in there if t >= own and not passed[t]]:
        assert spare, "every candidate is passed over for a listed reason: the fallback is in the list"
        assert tiers[0] >= own
    if not reasons & AT_ATTEMPT and not any(passed[:own]):
        assert not spare, "nothing that is listed leads there"
    if not reasons:
        assert mine == [tier for tier in there if tier < own], "as without a fallback"
    firsts = [tier for tier in tiers if not passed[tier]]
    assert tiers[: len(firsts)] == firsts, "what is passed over comes last"
    assert firsts == sorted(firsts)
