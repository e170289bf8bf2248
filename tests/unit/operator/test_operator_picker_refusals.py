"""Which problems of pickers are news; with a clock that is turned by hand."""

from hypothesis import given
from hypothesis import strategies as st
from operator_cases import report

from pilotage_kube.replica_report import Refusal
from pilotage_operator.picker_refusals import LASTS_SECONDS, QUIET_SECONDS, PickerNews

CONFLICT = Refusal("InferencePool models/llama", "PortConflict", "port 9010 is taken", "uid-1")


def looked(news: PickerNews, now: float, *refusals: Refusal) -> list[str]:
    """What one picker's refusals tell anew."""
    found, _ = news.look((report("v", refusals=refusals),), now)
    for one in found:
        news.settle(one, now)
    return [one.told.note for one in found]


def that_knows(*refusals: Refusal) -> PickerNews:
    """News that has seen these problems last, up to now = 0."""
    news = PickerNews()
    news.look((report("v", refusals=refusals),), -LASTS_SECONDS)
    return news


def test_a_problem_of_several_pickers_is_one_piece_of_news_about_that_very_pool():
    news = that_knows(CONFLICT)
    [found], _ = news.look([report("v", name, refusals=[CONFLICT]) for name in ("a", "b", "c")], 0.0)
    subject = found.subject
    assert (subject.kind, subject.api_version) == ("InferencePool", "inference.networking.k8s.io/v1")
    assert (subject.namespace, subject.name, subject.uid) == ("models", "llama", "uid-1")
    assert (found.told.warning, found.told.reason) == (True, "PortConflict")
    assert found.told.note == "port 9010 is taken"


def test_a_problem_is_news_once_it_has_lasted_and_a_step_on_the_way_never_is():
    news = PickerNews()
    said = (report("v", refusals=[CONFLICT]),)
    assert news.look(said, 0.0) == ((), LASTS_SECONDS)
    assert news.look(said, 4.0) == ((), LASTS_SECONDS - 4)
    assert news.look((), 5.0) == ((), None)
    assert news.look(said, LASTS_SECONDS) == ((), LASTS_SECONDS)
    found, again = news.look(said, 2 * LASTS_SECONDS)
    assert ([one.told.note for one in found], again) == (["port 9010 is taken"], None)


def test_what_could_not_be_told_stays_news_and_what_was_told_does_not():
    news = that_knows(CONFLICT)
    [first], _ = news.look([report("v", refusals=[CONFLICT])], 0.0)
    [again], _ = news.look([report("v", refusals=[CONFLICT])], 1.0)
    assert first == again
    news.settle(again, 1.0)
    for now in (2.0, 200.0, 800.0):
        assert looked(news, now, CONFLICT) == []
    # API servers forget Events after an hour
    assert looked(news, 1000.0, CONFLICT) == ["port 9010 is taken"]
    assert looked(news, 1001.0, CONFLICT) == []


def test_pickers_that_come_and_go_tell_nothing_anew_but_a_problem_that_was_over_does():
    news = that_knows(CONFLICT)
    assert looked(news, 0.0, CONFLICT) == ["port 9010 is taken"]
    assert looked(news, 1.0) == []
    assert looked(news, QUIET_SECONDS - 1, CONFLICT) == []
    assert looked(news, QUIET_SECONDS + LASTS_SECONDS, CONFLICT) == []
    assert looked(news, 3 * QUIET_SECONDS) == []
    assert looked(news, 4 * QUIET_SECONDS, CONFLICT) == []
    assert looked(news, 4 * QUIET_SECONDS + LASTS_SECONDS, CONFLICT) == ["port 9010 is taken"]


def test_a_pool_made_anew_under_the_same_name_is_another_one():
    later = Refusal(CONFLICT.resource, CONFLICT.reason, CONFLICT.message, "uid-2")
    news = that_knows(CONFLICT, later)
    assert looked(news, 0.0, CONFLICT, later) == ["port 9010 is taken", "port 9010 is taken"]


def test_a_message_that_keeps_changing_is_told_once_a_minute():
    news = that_knows(CONFLICT)
    told = []
    for second in range(200):
        changed = Refusal(CONFLICT.resource, CONFLICT.reason, f"port {second} is taken", "uid-1")
        told += looked(news, float(second), changed)
    assert told == ["port 0 is taken", "port 60 is taken", "port 120 is taken", "port 180 is taken"]


def test_pickers_that_say_it_in_different_words_do_not_take_turns():
    news = that_knows(CONFLICT)
    other = Refusal(CONFLICT.resource, CONFLICT.reason, "port 9010: in use", "uid-1")
    both = [report("v", "a", refusals=[CONFLICT]), report("v", "b", refusals=[other])]
    [found], _ = news.look(both, 0.0)
    news.settle(found, 0.0)
    for now in (100.0, 200.0):
        assert news.look(both, now) == ((), None)
        assert news.look(reversed(both), now) == ((), None)


def test_resources_with_a_status_of_ours_and_pools_of_unknown_identity_are_left_out():
    refusals = (
        Refusal("ModelPool models/llama", "PodsNotSeen", "forbidden", "uid-1"),
        Refusal("InferencePool models/llama", "PortConflict", "taken"),
        Refusal("InferencePool llama", "PortConflict", "taken", "uid-1"),
        Refusal("InferencePool", "PortConflict", "taken", "uid-1"),
    )
    assert looked(that_knows(*refusals, CONFLICT), 0.0, *refusals, CONFLICT) == [CONFLICT.message]


REFUSALS = st.builds(
    Refusal,
    st.sampled_from(["InferencePool a/x", "InferencePool a/y", "ModelPool a/x", "InferencePool a/", ""]),
    st.sampled_from(["PortConflict", "PortUnusable"]),
    st.sampled_from(["one", "another"]),
    st.sampled_from(["", "1", "2"]),
)


@given(st.lists(st.tuples(st.floats(0, 30), st.lists(REFUSALS, max_size=5)), max_size=40))
def test_whatever_is_reported_one_problem_is_told_at_most_once_a_minute(steps):
    news, now = PickerNews(), 0.0
    told: dict[object, float] = {}
    for passed, refusals in steps:
        now += passed
        found, _ = news.look([report("v", refusals=refusals)], now)
        for one in found:
            news.settle(one, now)
            assert now - told.get(one.key, -QUIET_SECONDS) >= QUIET_SECONDS
            told[one.key] = now
