"""Thinking that Anthropic has not signed is cut out of the bytes of a request for it, and nothing else."""

import json
from typing import Any

import orjson
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_extproc.dialects.splice import edited
from pilotage_extproc.dialects.transform.moved import GoneThinking
from pilotage_extproc.dialects.transform.unsigned_thinking import unsigned_thinking

BARE = {"type": "thinking", "thinking": 'hm " ]}'}
UNSIGNED = {**BARE, "signature": ""}
OF_VLLM = {**BARE, "signature": "f3ab1c7e64a24e6b9f7b3b1de5f80c62"}
ALL_UNSIGNED = (
    BARE,
    UNSIGNED,
    {**BARE, "signature": None},
    OF_VLLM,
    {**BARE, "signature": "F3AB1C7E-64a2-4e6b-9f7b-3b1de5f80c62"},
)
SIGNED = {"type": "thinking", "thinking": "hm", "signature": "EqQB"}
TEXT = {"type": "text", "text": '{"type":"thinking","signature":""}'}
CALL = {"type": "tool_use", "id": "t", "name": "f", "input": {"signature": ""}}
USER = {"role": "user", "content": "hi"}


def made(messages, **dumps) -> dict:
    body = json.dumps({"model": "m", "messages": messages, "max_tokens": 9}, **dumps).encode()
    return orjson.loads(changed(body)[0])


def changed(body: bytes) -> tuple[bytes, GoneThinking | None]:
    found = unsigned_thinking(body, orjson.loads(body))
    if found is None:
        return body, None
    assert found.edits is not None
    return edited(body, found.edits), found.gone


def expected(messages) -> list:
    kept = []
    for message in messages:
        content = message["content"]
        if message["role"] == "assistant" and isinstance(content, list):
            left = [one for one in content if one not in ALL_UNSIGNED]
            if left or not content:
                kept.append({**message, "content": left})
        else:
            kept.append(message)
    return kept


blocks = st.lists(st.sampled_from([*ALL_UNSIGNED, SIGNED, TEXT, CALL]), max_size=4)
messages = st.lists(
    st.builds(dict, role=st.sampled_from(["user", "assistant"]), content=blocks | st.just("text")), max_size=5
)


@settings(max_examples=examples(200), deadline=None)
@given(messages, st.sampled_from([None, 1]), st.sampled_from([(",", ":"), (" , ", " : ")]))
def test_what_is_unsigned_goes_and_all_else_stays(said, indent, separators):
    assert made(said, indent=indent, separators=separators)["messages"] == expected(said)


@pytest.mark.parametrize(
    "kept", [SIGNED, {**SIGNED, "signature": 7}, TEXT, CALL, {"type": "redacted_thinking", "data": ""}]
)
def test_a_body_without_unsigned_thinking_is_not_touched(kept):
    body = json.dumps({"messages": [USER, {"role": "assistant", "content": [kept]}]}).encode()
    assert unsigned_thinking(body, orjson.loads(body)) is None


def test_what_a_user_says_is_not_touched():
    said = [{"role": "user", "content": [UNSIGNED]}]
    assert made(said)["messages"] == said


@pytest.mark.parametrize("odd", [{}, {"messages": 1}, {"messages": [1, {"role": "assistant"}, "x"]}])
def test_what_is_no_conversation_is_left_to_the_server(odd):
    body = json.dumps({**odd, "type": "thinking"}).encode()
    assert unsigned_thinking(body, orjson.loads(body)) is None


def test_of_a_body_of_too_many_parts_it_is_said_that_its_thinking_is_not_found():
    said = [{"role": "user", "content": [{}] * 110_000}, {"role": "assistant", "content": [UNSIGNED]}]
    body = json.dumps({"messages": said}).encode()
    found = unsigned_thinking(body, orjson.loads(body))
    assert found is not None
    assert found.edits is None


def marked(said: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same, each message and block with its own number in it."""
    numbered = []
    for number, message in enumerate(said):
        content = message["content"]
        if isinstance(content, list):
            content = [{**one, "at": block} for block, one in enumerate(content)]
        numbered.append({**message, "content": content, "at": number})
    return numbered


@settings(max_examples=examples(200), deadline=None)
@given(messages)
def test_every_message_and_block_that_stays_has_the_clients_own_number(said):
    body, gone = changed(json.dumps({"messages": marked(said)}).encode())
    if gone is None:
        return
    assert GoneThinking.read(gone.text()) == gone
    for number, message in enumerate(orjson.loads(body)["messages"]):
        at = f"messages.{message['at']}"
        assert gone.own(f"messages.{number}.role") == f"{at}.role"
        assert gone.own(f"messages.{number}.content") == f"{at}.content"
        blocks = message["content"] if isinstance(message["content"], list) else []
        for block, one in enumerate(blocks):
            path = f"messages.{number}.content.{block}"
            assert gone.own(path) == f"{at}.content.{one['at']}"
            assert gone.own(f"{path}.content.0.type") == f"{at}.content.{one['at']}.content.0.type"
