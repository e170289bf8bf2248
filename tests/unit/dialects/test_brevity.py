"""Asking for a short answer: one sentence behind the user's last words, and every other byte as it was."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage_extproc.dialects.brevity import instructed, instruction, may_be_instructed
from pilotage_extproc.dialects.splice import edited


def spliced(body, tokens=128):
    edit = instructed(body, orjson.loads(body), tokens)
    return None if edit is None else edited(body, [edit])


@pytest.mark.parametrize(
    ("name", "part"), [("messages", {"type": "text"}), ("input", {"type": "input_text"})]
)
def test_content_of_parts_gets_one_more_part(name, part):
    body = json.dumps({name: [{"role": "user", "content": [{**part, "text": "a]}"}]}], "n": 1}).encode()
    content = orjson.loads(spliced(body))[name][-1]["content"]
    assert content == [{**part, "text": "a]}"}, {**part, "text": instruction(128)}]


def test_a_responses_input_of_text_ends_with_the_sentence():
    assert orjson.loads(spliced(b'{"input":"why?"}'))["input"] == "why?\n\n" + instruction(128)


texts = st.text(max_size=40)
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "tool"]), "content": texts},
    optional={"name": texts, "content2": st.lists(texts, max_size=2), "x": st.just({"content": "inner"})},
)


@given(
    st.lists(messages, max_size=6),
    texts,
    st.booleans(),
    st.sampled_from([None, 1]),
    st.dictionaries(st.sampled_from(["model", "tools", "zzz"]), texts, max_size=3),
)
def test_the_last_words_of_the_user_end_with_the_sentence_and_nothing_else_changes(
    before, last, ascii_only, indent, more
):
    sent = {**more, "messages": [*before, {"x": {"content": "no"}, "content": last, "role": "user"}]}
    body = json.dumps(sent, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    changed = spliced(body)
    sent["messages"][-1]["content"] = f"{last}\n\n{instruction(128)}"
    assert json.loads(changed) == sent
    assert changed.replace(f"\\n\\n{instruction(128)}".encode(), b"", 1) == body or last.endswith(
        instruction(128)
    )


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "a"},
        {"messages": []},
        {"messages": [{"role": "tool", "content": "x"}]},
        {"messages": [{"role": "user", "content": 3}]},
        {"messages": [{"role": "user"}]},
        {"messages": "x"},
        {"input": [{"type": "function_call_output", "output": "x"}]},
    ],
)
def test_a_body_whose_last_words_are_not_the_users_is_left_as_it_is(body):
    assert not may_be_instructed(body)
    assert spliced(json.dumps(body).encode()) is None


def test_a_conversation_too_long_to_be_passed_over_is_left_as_it_is():
    body = json.dumps({"messages": [{"role": "user", "content": "x"}] * 20_000}).encode()
    assert spliced(body) is None
