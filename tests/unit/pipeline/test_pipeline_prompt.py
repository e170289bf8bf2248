"""The canonical prompt: what two requests share is what an engine's prefix cache would share."""

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from pilotage_extproc.domain.request import CallKind, RequestHead
from pilotage_extproc.pipeline.call import Call
from pilotage_extproc.pipeline.features import session_of
from pilotage_extproc.pipeline.prompt import MEDIA_PART_BYTES, prompt_text

SYSTEM = {"role": "system", "content": "You answer briefly."}
USER = {"role": "user", "content": "Why is the sky blue?"}
ANSWER = {"role": "assistant", "content": "Rayleigh scattering."}
TOOL = {"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}


def chat(*messages: dict[str, Any], **more: Any) -> bytes:
    return prompt_text(CallKind.CHAT, {"messages": list(messages), **more})


def test_a_later_turn_begins_with_all_of_the_earlier_one():
    first = chat(SYSTEM, USER)
    assert chat(SYSTEM, USER, ANSWER, {"role": "user", "content": "And at dusk?"}).startswith(first)


def test_tool_definitions_come_first_and_tell_prompts_apart():
    with_tool = chat(SYSTEM, USER, tools=[TOOL])
    assert with_tool.startswith(orjson.dumps([TOOL]))
    assert not with_tool.startswith(chat(SYSTEM)[:5])


def test_messages_are_not_run_together():
    assert chat({"role": "user", "content": "ab"}) != chat({"role": "usera", "content": "b"})
    assert len({chat(USER), chat(USER, USER), chat(SYSTEM, USER)}) == 3


def test_text_parts_are_their_text():
    parts = [{"type": "text", "text": USER["content"]}]
    assert chat({"role": "user", "content": parts}) == chat(USER)


def test_an_image_stands_for_itself_by_its_digest():
    def image(url: str) -> dict[str, Any]:
        return {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}

    big = "data:image/png;base64," + "A" * 1_000_000
    assert chat(image(big)) == chat(image(big))
    assert chat(image(big)) != chat(image(big + "B"))
    assert len(chat(image(big))) < MEDIA_PART_BYTES + 100


def test_tool_calls_are_part_of_the_prompt():
    called = {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "function": {"name": "x"}}]}
    other = {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "function": {"name": "y"}}]}
    assert chat(USER, called) != chat(USER, other)


def test_every_kind_of_call_has_its_prompt():
    assert b"hello" in prompt_text(CallKind.COMPLETIONS, {"prompt": "hello"})
    assert b"[1,2,3]" in prompt_text(CallKind.COMPLETIONS, {"prompt": [1, 2, 3]})
    assert b"hello" in prompt_text(CallKind.EMBEDDINGS, {"input": ["hello", "you"]})
    responses = prompt_text(CallKind.RESPONSES, {"instructions": "Be brief.", "input": "hello"})
    assert responses.index(b"Be brief.") < responses.index(b"hello")
    assert b"hello" in prompt_text(CallKind.RESPONSES, {"input": [{"role": "user", "content": "hello"}]})
    anthropic = {"system": "Be brief.", "messages": [USER], "tools": [TOOL]}
    told = prompt_text(CallKind.MESSAGES, anthropic)
    assert told.index(b"search") < told.index(b"Be brief.") < told.index(b"blue")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(
    st.sampled_from(
        [CallKind.CHAT, CallKind.COMPLETIONS, CallKind.EMBEDDINGS, CallKind.RESPONSES, CallKind.MESSAGES]
    ),
    st.dictionaries(
        st.sampled_from(["messages", "prompt", "input", "system", "instructions", "tools"]), JSON, max_size=6
    ),
)
def test_no_body_that_is_json_breaks_it(kind, members):
    first = prompt_text(kind, members)
    assert first == prompt_text(kind, orjson.loads(orjson.dumps(members)))


def session(members: dict[str, Any], **headers: str) -> int | None:
    return session_of(Call(RequestHead("POST", "/", headers), CallKind.CHAT, "/"), members)


def test_a_session_is_the_header_else_the_cache_key_else_the_user():
    header = {"x-session-id": "s1"}
    assert session({"user": "u"}, **header) == session({}, **header)
    assert session({"prompt_cache_key": "k", "user": "u"}) == session({"prompt_cache_key": "k"})
    assert session({"user": "u"}) not in (None, session({"user": "v"}))
    assert session({}) is None
    assert session({"user": 5}) is None


def test_very_many_parts_are_not_told_apart_one_by_one_and_keep_their_order():
    messages = [{"role": "user", "content": f"message {number}"} for number in range(3000)]
    text = chat(*messages)
    assert text.count(b"\x1e") < 2100
    later = chat(*messages, {"role": "assistant", "content": "yes"})
    assert later.startswith(text[:-10])
    assert chat(*messages[:-1], {"role": "user", "content": "another"}) != text


def test_very_many_images_weigh_no_more_than_the_bound():
    parts = [{"type": "file"}] * 30_000
    most = 2100 * MEDIA_PART_BYTES
    assert len(chat({"role": "user", "content": parts})) < most + len(orjson.dumps(parts))
    messages = [{"role": "user", "content": parts[:10]}] * 3000
    assert len(chat(*messages)) < most + len(orjson.dumps(messages))
