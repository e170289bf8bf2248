"""Places that a provider names in an error are told as the client counts them."""

import json

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from lua_answers import own_places

from pilotage_extproc.dialects.transform.moved import LISTS, GoneThinking, Moved, OwnParts, moved_text

OPENAI = {
    "error": {
        "message": "Invalid 'messages[2].tool_calls[0].id': string too long. Expected at most 40, got 41.",
        "type": "invalid_request_error",
        "param": "messages[2].tool_calls[0].id",
        "code": "string_above_max_length",
    }
}
ANTHROPIC = {
    "type": "error",
    "error": {"type": "invalid_request_error", "message": "messages.1.content.12: text is empty"},
}


def told(error, moved: str):
    return json.loads(own_places(json.dumps(error).encode(), moved))


def test_openais_param_and_message_name_the_clients_message():
    error = told(OPENAI, "messages 1")["error"]
    assert error["param"] == "messages[1].tool_calls[0].id"
    assert error["message"].startswith("Invalid 'messages[1].tool_calls[0].id': string")
    assert error["message"].endswith("at most 40, got 41.")


def test_anthropics_message_names_the_clients_block():
    error = told(ANTHROPIC, "thinking 0,2.0,2.2")["error"]
    assert error["message"] == "messages.2.content.14: text is empty"


def test_a_part_of_a_system_message_has_the_clients_number():
    said = {"error": {"message": "'messages[0].content[1].text'", "param": "messages[0].content[0].text"}}
    error = told(said, "content 0 1")["error"]
    assert error == {"message": "'messages[0].content[0].text'", "param": "messages[0].content"}


def test_a_block_of_anthropics_system_prompt_has_the_clients_number():
    said = {"error": {"message": "system.1.cache_control.ttl: Input should be '5m' or '1h'"}}
    error = told(said, "system 1; mcp_servers 0 0")["error"]
    assert error["message"].startswith("system.0.cache_control.ttl: ")


def test_of_a_message_that_is_not_the_clients_the_list_is_named():
    error = told(
        {"error": {"message": "'messages.[0].role' is odd", "param": "messages.[0].role"}}, "messages 1"
    )
    assert error["error"] == {"message": "'messages' is odd", "param": "messages"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"at messages.1", b"at messages.2"),
        (b"`messages.1.content`, messages.2.role", b"`messages.2.content`, messages.3.role"),
        (rb"one:\nmessages.1: x", rb"one:\nmessages.2: x"),
        (rb"\"messages.1\"", rb"\"messages.2\""),
        (b"input.1 tools.1.name max_messages.1 x.messages.1 messages1.1 messages.x", None),
        (rb"\\messages.1", rb"\\messages.2"),
        (rb"\u0027messages.1.role\u0027 \u00e9messages.1", rb"\u0027messages.2.role\u0027 \u00e9messages.2"),
        (rb"\u00messages.1 \nmax_messages.1 \messages.1", None),
        (b"$.messages[1] body.messages[1].role", b"$.messages[2] body.messages[2].role"),
        (b".messages[1].role request.messages.1", b".messages[2].role request.messages.2"),
        (b"metadata.messages[1] nobody.messages[1] $messages.1 ..messages.1", None),
        (b"messages." + b"1" * 40, None),
        ("é messages.1 é".encode(), "é messages.2 é".encode()),
        (b"", None),
        (b"messages.", None),
        (b"\0messages.1\xff", b"\0messages.2\xff"),
    ],
)
def test_only_a_place_in_that_list_is_changed(text, expected):
    assert own_places(text, "thinking 0") == (text if expected is None else expected)


@pytest.mark.parametrize(
    "said", ["", "rubbish", "; ;", "tool 1 2", "messages 3", "content 2", "thinking ", "-"]
)
def test_what_says_nothing_changes_nothing(said):
    assert told(OPENAI, said) == OPENAI


numbers = st.lists(st.integers(0, 12), unique=True, max_size=5).map(sorted).map(tuple)
lists = st.builds(Moved, st.sampled_from(LISTS), st.integers(0, 2), numbers | st.none())
parts = st.builds(OwnParts, st.integers(0, 3), st.integers(1, 2))
blocks = st.dictionaries(st.integers(0, 9), st.none() | numbers.filter(bool), min_size=1, max_size=5)


def thinking_of(gone) -> GoneThinking:
    places = [
        (message, block)
        for message in sorted(gone)
        for block in ([None] if gone[message] is None else gone[message])
    ]
    return GoneThinking(tuple(places))


thinking = st.just(GoneThinking(None)) | blocks.map(thinking_of)
paths = st.builds(
    lambda member, at, rest: f"{member}.{at}{rest}",
    st.sampled_from([*LISTS, "other"]),
    st.integers(0, 12),
    st.sampled_from(["", ".role", ".content", ".x.1"])
    | st.integers(0, 12).map(lambda block: f".content.{block}.text"),
)


@settings(max_examples=examples(400), deadline=None)
@given(st.lists(lists | parts | thinking, max_size=6), paths)
def test_the_script_counts_as_the_hop_does(moved, path):
    own = path
    for one in moved:
        own = one.own(own)
    said = f'{{"error":{{"message":"`{path}` is odd","param":"{path}"}}}}'.encode()
    expected = f'{{"error":{{"message":"`{own}` is odd","param":"{own}"}}}}'.encode()
    assert own_places(said, moved_text(moved)) == expected


@settings(max_examples=examples(200), deadline=None)
@given(st.binary(max_size=60), st.text(max_size=30))
def test_hostile_texts_break_nothing(text, said):
    own_places(text, said)
