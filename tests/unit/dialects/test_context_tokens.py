"""What of a request counts as its context."""

from typing import Any

import pytest

from pilotage_extproc.dialects.context_tokens import context_tokens
from pilotage_extproc.dialects.prompt_parts import MEDIA_TOKENS
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
