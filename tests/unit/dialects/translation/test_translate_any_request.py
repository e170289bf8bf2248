"""Requests nobody wrote by hand: each is translated to a valid one, or refused."""

import copy
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sdk_types import check_request
from translated_requests import CHAT, MESSAGES, RESPONSES

from pilotage_extproc.dialects.translation.facts import ModelFacts
from pilotage_extproc.dialects.translation.fields import FIELDS
from pilotage_extproc.dialects.translation.translate import translate
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import RequestRefused

EVERYTHING = {CallKind.CHAT: CHAT, CallKind.MESSAGES: MESSAGES, CallKind.RESPONSES: RESPONSES}
FACTS = ModelFacts("m", 4096, reasoning=True)

plain = st.text(min_size=1, max_size=20)
names = st.from_regex(r"[a-zA-Z0-9_-]{1,16}", fullmatch=True)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False) | plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(names, json_values, max_size=3)
chat_parts = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, plain),
    st.just({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}),
)
chat_messages = st.one_of(
    st.builds(
        lambda role, content: {"role": role, "content": content},
        st.sampled_from(["user", "system", "developer"]),
        plain,
    ),
    st.builds(lambda parts: {"role": "user", "content": parts}, st.lists(chat_parts, max_size=3)),
    st.builds(
        lambda text, name, given: {
            "role": "assistant",
            "content": text,
            "tool_calls": [
                {
                    "id": "c",
                    "type": "function",
                    "function": {"name": name, "arguments": orjson.dumps(given).decode()},
                }
            ],
        },
        st.none() | plain,
        names,
        objects,
    ),
    st.builds(lambda text: {"role": "tool", "tool_call_id": "c", "content": text}, plain),
)
texts = st.builds(lambda text: {"type": "text", "text": text}, plain)
calls = st.builds(
    lambda name, given: {"type": "tool_use", "id": "c", "name": name, "input": given}, names, objects
)
results = st.builds(lambda text: {"type": "tool_result", "tool_use_id": "c", "content": text}, plain)
thoughts = st.builds(lambda text: {"type": "thinking", "thinking": text, "signature": "s"}, plain)
messages = st.one_of(
    st.builds(
        lambda role, content: {"role": role, "content": content},
        st.sampled_from(["user", "system", "developer"]),
        plain,
    ),
    st.builds(lambda parts: {"role": "user", "content": parts}, st.lists(chat_parts, max_size=3)),
    st.builds(
        lambda text, name, given: {
            "role": "assistant",
            "content": text,
            "tool_calls": [
                {
                    "id": "c",
                    "type": "function",
                    "function": {"name": name, "arguments": orjson.dumps(given).decode()},
                }
            ],
        },
        st.none() | plain,
        names,
        objects,
    ),
    st.builds(lambda text: {"role": "tool", "tool_call_id": "c", "content": text}, plain),
)
message_parts = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, plain),
    st.builds(
        lambda name, given: {"type": "tool_use", "id": "c", "name": name, "input": given}, names, objects
    ),
    st.builds(lambda text: {"type": "tool_result", "tool_use_id": "c", "content": text}, plain),
    st.builds(lambda text: {"type": "thinking", "thinking": text, "signature": "s"}, plain),
)
messages = st.one_of(
    st.builds(
        lambda content: {"role": "user", "content": content},
        plain | st.lists(texts | results, max_size=4),
    ),
    st.builds(
        lambda content: {"role": "assistant", "content": content},
        plain | st.lists(texts | calls | thoughts, max_size=4),
    ),
)


@given(st.lists(chat_messages, max_size=6), st.sampled_from([None, 5, 9000]))
def test_any_chat_becomes_valid_messages_in_turns(given_messages, limit):
    body = {"model": "m", "max_tokens": limit, "messages": given_messages}
    try:
        translated = translate(CallKind.CHAT, CallKind.MESSAGES, body, FACTS)
    except RequestRefused as refused:
        assert refused.param == "messages"
        return
    written = orjson.loads(translated.body)
    check_request(CallKind.MESSAGES, written)
    roles = [message["role"] for message in written["messages"]]
    assert all(one != other for one, other in pairwise(roles))
    assert not_blank(given_messages) <= texts_of([written])


@given(st.lists(messages, max_size=6))
def test_any_messages_become_a_valid_chat(given_messages):
    body = {"model": "m", "max_tokens": 7, "messages": given_messages}
    written = orjson.loads(translate(CallKind.MESSAGES, CallKind.CHAT, body, FACTS).body)
    check_request(CallKind.CHAT, written)
    thought = texts_of(given_messages, "thinking")
    assert texts_of(given_messages) - thought <= texts_of([written])


@given(st.lists(chat_messages, min_size=1, max_size=6))
def test_a_chat_that_went_through_messages_says_the_same(given_messages):
    body = {"model": "m", "max_tokens": 7, "messages": given_messages}
    try:
        there = orjson.loads(translate(CallKind.CHAT, CallKind.MESSAGES, body, FACTS).body)
    except RequestRefused:
        return
    back = orjson.loads(translate(CallKind.MESSAGES, CallKind.CHAT, there, FACTS).body)
    assert texts_of(back["messages"]) >= not_blank(given_messages)
    assert calls_of(back["messages"]) == calls_of(given_messages)


@pytest.mark.parametrize(("kind", "target"), FIELDS)
@settings(max_examples=40)
@given(st.data())
def test_a_body_with_anything_in_any_place_is_translated_or_refused(kind, target, data):
    body = copy.deepcopy(EVERYTHING[kind])
    for _ in range(data.draw(st.integers(1, 3))):
        holder: Any = body
        while True:
            keys = list(holder) if isinstance(holder, dict) else range(len(holder))
            if not keys:
                break
            key = data.draw(st.sampled_from(list(keys)))
            if isinstance(holder[key], dict | list) and holder[key] and data.draw(st.booleans()):
                holder = holder[key]
                continue
            holder[key] = data.draw(json_values)
            break
    try:
        translated = translate(kind, target, body, FACTS)
    except RequestRefused as refused:
        assert refused.reason.http_status == 400
        assert refused.message
    else:
        assert orjson.loads(translated.body)["model"] == "m"


def texts_of(value: Any, *names: str) -> set[str]:
    """All text of contents, wherever it stands."""
    found: set[str] = set()
    if isinstance(value, list):
        for one in value:
            found |= texts_of(one, *names)
    elif isinstance(value, dict):
        for name, one in value.items():
            if isinstance(one, str) and name in (names or ("text", "content", "system")):
                found.add(one)
            elif name != "input":
                found |= texts_of(one, *names)
    return found


def not_blank(given_messages: Any) -> set[str]:
    """All text but what Anthropic refuses, and is left out for it."""
    return {text for text in texts_of(given_messages) if text.strip()}


def calls_of(given_messages: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    return [
        (call["function"]["name"], orjson.loads(call["function"]["arguments"]))
        for message in given_messages
        for call in message.get("tool_calls", [])
    ]
