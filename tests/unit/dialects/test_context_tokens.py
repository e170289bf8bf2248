"""What of a request counts as its context."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage_extproc.dialects.context_tokens import context_tokens, text_tokens
from pilotage_extproc.dialects.prompt_parts import MEDIA_TOKENS
from pilotage_extproc.dialects.prompt_text import read_prompt
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.token_estimate import estimate_tokens

QUESTION = "Why is the sky blue, and why is it red at dusk?"


def chat(*content: Any, **more: Any) -> int:
    messages = [{"role": "user", "content": one} for one in content]
    return context_tokens(CallKind.CHAT, {"messages": messages, **more})


def test_a_message_is_its_text_its_role_and_four_tokens_of_the_chat_template():
    assert chat(QUESTION) == pytest.approx(estimate_tokens(QUESTION.encode()) + 1 + 4, abs=2)
    assert chat(QUESTION, QUESTION) - chat(QUESTION) == pytest.approx(chat(QUESTION), abs=2)


def test_a_request_without_a_prompt_has_none():
    assert context_tokens(CallKind.DETOKENIZE, {"tokens": [1, 2, 3]}) == 0


def test_tools_and_system_prompt_count():
    tool = {"type": "function", "function": {"name": "search", "description": QUESTION}}
    assert chat(QUESTION, tools=[tool]) > chat(QUESTION) + estimate_tokens(QUESTION.encode())
    messages = {"messages": [{"role": "user", "content": QUESTION}]}
    alone = context_tokens(CallKind.MESSAGES, messages)
    told = context_tokens(CallKind.MESSAGES, {**messages, "system": QUESTION})
    assert told >= alone + estimate_tokens(QUESTION.encode())


@pytest.mark.parametrize("picture", ["A" * 40, "B" * 2_000_000])
@pytest.mark.parametrize("number", [1, 3])
def test_an_image_is_576_tokens_whatever_its_size_and_content(picture: str, number: int):
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}}
    text = {"type": "text", "text": QUESTION}
    with_images = chat([text, *[image] * number])
    assert with_images - chat([text]) == pytest.approx(number * MEDIA_TOKENS, abs=2 * number)


def test_token_ids_are_counted_not_read():
    assert context_tokens(CallKind.COMPLETIONS, {"prompt": [151_643] * 500}) == pytest.approx(500, abs=2)
    batch = {"input": [[100_257] * 250] * 8}
    assert context_tokens(CallKind.EMBEDDINGS, batch) == pytest.approx(2000, abs=2)
    assert context_tokens(CallKind.COMPLETIONS, {"prompt": [QUESTION, QUESTION]}) < 40


PARTS = st.recursive(
    st.text(max_size=20),
    lambda inner: st.lists(
        st.fixed_dictionaries({"type": st.sampled_from(["text", "image_url", "tool_result"])})
        | st.fixed_dictionaries({"type": st.just("text"), "text": st.text(max_size=20)})
        | st.fixed_dictionaries({"type": st.just("tool_result"), "content": inner}),
        max_size=3,
    ),
    max_leaves=4,
)


@given(
    st.sampled_from([CallKind.CHAT, CallKind.MESSAGES]),
    st.lists(
        st.fixed_dictionaries({"role": st.sampled_from(["user", "tool"]), "content": PARTS}), max_size=3
    ),
    st.sampled_from([None, [{"type": "function", "function": {"name": "a"}}]]),
)
def test_a_prompt_that_was_read_for_its_hashes_has_as_many_tokens(kind, messages, tools):
    members = {"messages": messages} | ({"tools": tools} if tools else {})
    read = read_prompt(kind, members)
    found = text_tokens(read)
    assert found is None or found == context_tokens(kind, members)
    assert (found is None) == (not read.all_text)


def test_completions_and_embeddings_have_as_many_tokens_too():
    for kind, members in (
        (CallKind.COMPLETIONS, {"prompt": QUESTION}),
        (CallKind.COMPLETIONS, {"prompt": [QUESTION, QUESTION]}),
        (CallKind.EMBEDDINGS, {"input": QUESTION}),
        (CallKind.RESPONSES, {"input": QUESTION, "instructions": QUESTION}),
    ):
        assert text_tokens(read_prompt(kind, members)) == context_tokens(kind, members)
