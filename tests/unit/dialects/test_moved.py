"""A place in a body that a policy has changed is told as the client counts it."""

import json

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_api.transform_snapshot import TransformSnapshot
from pilotage_extproc.dialects.tool_lists import LISTS as LISTS_OF_TOOLS
from pilotage_extproc.dialects.transform.moved import GoneThinking, Moved, OwnParts, moved_text, read_moved
from pilotage_extproc.dialects.transform.transform import Transform, Transformed
from pilotage_extproc.domain.head import CallKind

LISTS = {CallKind.CHAT: "messages", CallKind.MESSAGES: "messages", CallKind.RESPONSES: "input"}
prompts = st.sampled_from(
    [{"prefix": "P"}, {"suffix": "S"}, {"prefix": "P", "suffix": "S"}, {"replace": "R"}]
)
roles = st.lists(st.sampled_from(["system", "developer", "user", "assistant"]), max_size=8)


def own_place(made: Transformed, path: str) -> str:
    for one in made.moved:
        path = one.own(path)
    return path


@settings(max_examples=examples(200), deadline=None)
@given(st.sampled_from(list(LISTS)), prompts, roles)
def test_every_message_has_the_clients_own_number(kind, prompt, roles):
    name = LISTS[kind]
    said = [{"role": role, "content": f"it is {number}."} for number, role in enumerate(roles)]
    body = json.dumps({name: said}).encode()
    made = Transform(TransformSnapshot(name="p/0", **prompt)).made(kind, body)
    assert read_moved(moved_text(made.moved)) == made.moved
    for at, message in enumerate(json.loads(made.body)[name]):
        own = own_place(made, f"{name}.{at}.content.2")
        number = next(
            (number for number, one in enumerate(said) if one["content"] in message["content"]), None
        )
        assert own == (name if number is None else f"{name}.{number}.content.2")


parts = st.lists(st.builds(dict, type=st.just("text"), text=st.just("t")), max_size=3)
contents = parts | st.sampled_from(["mine", "", None])
additions = st.sampled_from([{"prefix": "P"}, {"suffix": "S"}, {"prefix": "P", "suffix": "S"}])


def numbered(content):
    """The same, each part with its own number in it."""
    return [{**one, "at": at} for at, one in enumerate(content)] if isinstance(content, list) else content


def check_parts(made: Transformed, place: str, content) -> None:
    for at, part in enumerate(content if isinstance(content, list) else ()):
        own = own_place(made, f"{place}.{at}.text")
        if "at" in part:
            assert own == f"{place}.{part['at']}.text"
        elif at == 0:  # the policy's own
            assert own == place
    assert own_place(made, place) == place


@settings(max_examples=examples(200), deadline=None)
@given(additions, st.lists(contents, min_size=1, max_size=3), st.booleans())
def test_every_part_of_a_system_message_has_the_clients_own_number(prompt, said, has_user):
    messages = [{"role": "system", "content": numbered(one)} for one in said]
    messages += [{"role": "user", "content": numbered([{"type": "text", "text": "hi"}])}] * has_user
    body = json.dumps({"messages": messages}).encode()
    made = Transform(TransformSnapshot(name="p/0", **prompt)).made(CallKind.CHAT, body)
    assert read_moved(moved_text(made.moved)) == made.moved
    for number, message in enumerate(json.loads(made.body)["messages"]):
        check_parts(made, f"messages.{number}.content", message["content"])


@settings(max_examples=examples(100), deadline=None)
@given(additions, contents, st.sampled_from([CallKind.MESSAGES, CallKind.COUNT_TOKENS]))
def test_every_block_of_a_system_prompt_has_the_clients_own_number(prompt, said, kind):
    user = {"role": "user", "content": [{"type": "text", "text": "hi", "at": 0}]}
    body = json.dumps({"system": numbered(said), "messages": [user]}).encode()
    made = Transform(TransformSnapshot(name="p/0", **prompt)).made(kind, body)
    assert read_moved(moved_text(made.moved)) == made.moved
    check_parts(made, "system", json.loads(made.body)["system"])
    check_parts(made, "messages.0.content", user["content"])


@pytest.mark.parametrize(
    "path",
    ["messages", "messages.0", "messages.1.content.3", "messages.0.name", "system.0", "input.0.content.1"],
)
def test_other_places_stand_where_they_stood_without_parts_before_them(path):
    assert OwnParts(0, 1).own(path) == path


@pytest.mark.parametrize("member", LISTS_OF_TOOLS)
def test_every_list_of_tools_can_be_told(member):
    assert Moved.read(Moved(member, 0, (1,)).text()) == Moved(member, 0, (1,))
    assert Moved(member, 0, (1,)).own(f"{member}.1.name") == f"{member}.2.name"


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
    tools = [Moved(member, 0, (0, 3)) for member in LISTS_OF_TOOLS]
    lists = (OwnParts(0, 1), OwnParts(2, 2), thinking, *tools)
    assert read_moved(moved_text(lists)) == lists
    assert read_moved("rubbish; " + moved_text(lists[1:])) == lists[1:]
    assert read_moved(moved_text(())) == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "messages",
        "messages 3",
        "tool 1",
        "content 0",
        "content 0 0",
        "content 0 3",
        "messages 1 ",
        "messages 1 a",
        "messages 1 1,",
    ],
)
def test_anything_else_says_nothing(text):
    assert Moved.read(text) is OwnParts.read(text) is None


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
