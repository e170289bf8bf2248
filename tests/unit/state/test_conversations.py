"""Conversations: remembered for an hour of silence, bounded, and told of when they begin or move."""

from pilotage_extproc.state.conversations import Conversations


def test_a_conversation_is_with_the_model_of_its_last_request():
    known = Conversations()
    known.placed(1, "weak", 0.0)
    known.placed(1, "strong", 10.0)
    assert known.model_of(1, 20.0) == "strong"
    assert known.model_of(2, 20.0) is None


def test_one_that_is_silent_for_an_hour_is_with_none():
    known = Conversations()
    known.placed(1, "weak", 0.0)
    assert known.model_of(1, 3600.0) == "weak"
    assert known.model_of(1, 3601.0) is None


def test_the_least_recently_used_are_dropped():
    known = Conversations(most=2)
    for key in (1, 2, 1, 3):
        known.placed(key, "weak", 0.0)
    assert [known.model_of(key, 0.0) for key in (1, 2, 3)] == ["weak", None, "weak"]


def test_peers_are_told_only_of_those_that_begin_or_move():
    known, told = Conversations(), []
    known.tell(lambda key, model: told.append((key, model)))
    known.placed(1, "weak", 0.0)
    known.placed(1, "weak", 1.0)
    known.placed(1, "strong", 2.0)
    known.learned(2, "weak", 3.0)
    assert told == [(1, "weak"), (1, "strong")]
