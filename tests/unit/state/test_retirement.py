"""Requests whose end nobody tells: bounded by what their engine reports, and never one too many."""

from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_extproc.state.retirement import PERSISTS_SECONDS, VISIBLE_AFTER_SECONDS, Retirement


def due(retirement: Retirement, began: list[float], reported: float, at: float) -> int:
    return retirement.due(len(began), lambda: reversed(began), reported, at)


def pages(retirement: Retirement, began: list[float], reported: dict[float, float]) -> list[int]:
    return [due(retirement, began, count, at) for at, count in reported.items()]


def test_an_excess_must_last():
    told = pages(Retirement(), [1.0] * 20, {10.0: 4, 12.0: 4, 14.9: 4, 15.0: 4})
    assert told == [0, 0, 0, 16]


def test_one_page_that_shows_them_all_begins_anew():
    told = pages(Retirement(), [1.0] * 20, {10.0: 4, 12.0: 20, 14.0: 4, 16.0: 4, 19.0: 4})
    assert told == [0, 0, 0, 0, 16]


def test_only_as_many_as_were_too_many_on_every_page_have_ended():
    assert pages(Retirement(), [1.0] * 20, {10.0: 4, 12.0: 15, 15.0: 4})[-1] == 5


def test_requests_that_may_not_be_on_the_page_yet_are_left():
    began = [1.0, 2.0, 14.0, 14.5]
    assert pages(Retirement(), began, {10.0: 0, 15.0: 0})[-1] == 2


def test_requests_that_came_while_the_excess_lasted_are_left():
    retirement = Retirement()
    assert due(retirement, [1.0], 0, 10.0) == 0
    assert due(retirement, [1.0, 11.0], 0, 14.0) == 0
    assert due(retirement, [11.0], 0, 15.0) == 0, "the first was settled meanwhile"


@given(
    st.lists(
        st.tuples(
            st.floats(0, 30),  # when it is picked
            st.floats(0, VISIBLE_AFTER_SECONDS),  # how long it takes to the engine's page
            st.floats(0, 60),  # how long it is there
        ),
        max_size=60,
    ),
    st.integers(0, 5),
)
@settings(deadline=None)
def test_never_more_are_retired_than_have_ended_and_soon_none_is_left_beyond_what_is_reported(sent, others):
    sent.sort()
    retirement = Retirement()
    counted = [picked for picked, _, _ in sent]
    for tenth in range(1, 1300):
        now = tenth / 10
        held = sum(picked + way <= now < picked + way + stay for picked, way, stay in sent)
        del counted[: due(retirement, [one for one in counted if one <= now], held + others, now)]
        alive = sum(picked <= now < picked + way + stay for picked, way, stay in sent)
        assert len([one for one in counted if one <= now]) >= alive
    assert len(counted) <= others, "all have ended, and the last page is old enough"
    assert 30 + VISIBLE_AFTER_SECONDS + 60 + 2 * PERSISTS_SECONDS < 130
