"""A place in a body that a policy has changed is told as the client counts it."""

import json

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_api.transform_snapshot import TransformSnapshot
from pilotage_extproc.dialects.transform.moved import GoneThinking, Moved, moved_text, read_moved
from pilotage_extproc.dialects.transform.transform import Transform
from pilotage_extproc.domain.head import CallKind

LISTS = {CallKind.CHAT: "messages", CallKind.MESSAGES: "messages", CallKind.RESPONSES: "input"}
prompts = st.sampled_from(
    [{"prefix": "P"}, {"suffix": "S"}, {"prefix": "P", "suffix": "S"}, {"replace": "R"}]
)
roles = st.lists(st.sampled_from(["system", "developer", "user", "assistant"]), max_size=8)


@settings(max_examples=examples(200), deadline=None)
@given(st.sampled_from(list(LISTS)), prompts, roles)
def test_every_message_has_the_clients_own_number(kind, prompt, roles):
    name = LISTS[kind]
    said = [{"role": role, "content": f"it is {number}."} for number, role in enumerate(roles)]
    body = json.dumps({name: said}).encode()
    made = Transform(TransformSnapshot(name="p/0", **prompt)).made(kind, body)
    read = None if made.moved is None else Moved.read(made.moved.text())
    assert read == made.moved
    for at, message in enumerate(json.loads(made.body)[name]):
        own = f"{name}.{at}.content.2" if read is None else read.own(f"{name}.{at}.content.2")
        number = next(
            (number for number, one in enumerate(said) if one["content"] in message["content"]), None
        )
        assert own == (name if number is None else f"{name}.{number}.content.2")


@pytest.mark.parametrize("path", ["n", "messages", "tools.3.name", "messagesx.1", "system.0", "messages.x"])
def test_other_places_are_told_as_they_are(path):
    assert Moved("messages", 1, (0, 4)).own(path) == path


def test_of_too_many_that_were_left_out_the_list_alone_is_named():
    found = Moved.read(Moved("input", 0, tuple(range(5000))).text())
    assert found == Moved("input", 0, None)
    assert found.own("input.7.content") == "input"


def test_several_lists_are_told_at_once_and_rubbish_between_them_says_nothing():
    thinking = GoneThinking(((1, None), (3, 0), (3, 2)))
    assert thinking.text() == "thinking 1,3.0,3.2"
    lists = (Moved("messages", 1, (2,)), thinking, Moved("tools", 0, (0, 3)))
    assert read_moved(moved_text(lists)) == lists
    assert read_moved("rubbish; " + moved_text(lists[1:])) == lists[1:]
    assert read_moved(moved_text(())) == ()


@pytest.mark.parametrize(
    "text", ["", "messages", "messages 2", "tool 1", "messages 1 ", "messages 1 a", "messages 1 1,"]
)
def test_anything_else_says_nothing(text):
    assert Moved.read(text) is None


@pytest.mark.parametrize(
    "text", ["", "thinking", "thinking ", "thinking 1.", "thinking .1", "thinking 1,", "thinking 1.2.3"]
)
def test_anything_else_says_nothing_of_thinking(text):
    assert GoneThinking.read(text) is None


@pytest.mark.parametrize("path", ["messages", "max_tokens", "tools.3.name", "system.0", "messages.x"])
def test_places_outside_messages_stand_where_they_stood_without_thinking(path):
    assert GoneThinking(((0, None), (2, 0))).own(path) == path
    assert GoneThinking(None).own(path) == path


def test_of_too_much_thinking_the_list_alone_is_named():
    found = GoneThinking.read(GoneThinking(tuple((number, 0) for number in range(5000))).text())
    assert found == GoneThinking(None)
    assert found.own("messages.7.content.1.type") == "messages"
