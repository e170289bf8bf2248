"""What users wrote is found in every API, by its head and its tail."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage_extproc.dialects.user_text import MOST_BYTES, user_text
from pilotage_extproc.domain.head import CallKind


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        (
            CallKind.CHAT,
            {
                "messages": [
                    {"role": "system", "content": "be brief"},
                    {"role": "user", "content": "first"},
                    {"role": "assistant", "content": "answer"},
                    {"role": "user", "content": [{"type": "text", "text": "second"}]},
                    {"role": "tool", "content": "result"},
                ],
                "tools": [{"type": "function", "function": {"name": "f"}}],
            },
        ),
        (
            CallKind.MESSAGES,
            {
                "system": "be brief",
                "messages": [
                    {"role": "user", "content": "first"},
                    {"role": "assistant", "content": "answer"},
                    {"role": "user", "content": [{"type": "text", "text": "second"}]},
                ],
            },
        ),
        (
            CallKind.RESPONSES,
            {
                "instructions": "be brief",
                "input": [
                    {"role": "user", "content": "first"},
                    {"role": "assistant", "content": [{"type": "output_text", "text": "answer"}]},
                    {"role": "user", "content": [{"type": "input_text", "text": "second"}]},
                ],
            },
        ),
        (CallKind.COMPLETIONS, {"prompt": ["first", "second"]}),
    ],
)
def test_only_users_words_are_read(kind, members):
    assert user_text(kind, members).text == b"first\nsecond"


def chat(*texts: str) -> dict:
    return {"messages": [{"role": "user", "content": text} for text in texts]}


def test_of_a_long_prompt_head_and_tail_are_read():
    found = user_text(CallKind.CHAT, chat("begin " + "x" * 200_000, "y" * 100 + " end"))
    assert len(found.text) <= MOST_BYTES
    assert found.text.startswith(b"begin xxx")
    assert found.text.endswith(b"y end")
    assert found.length == 200_110


@given(st.lists(st.text(max_size=3000), max_size=5))
def test_it_is_bounded_text_whatever_is_written(texts):
    found = user_text(CallKind.CHAT, chat(*texts))
    assert len(found.text) <= MOST_BYTES
    found.text.decode("utf-8", "surrogatepass")
    assert found.length == sum(map(len, texts))


def test_a_prompt_of_token_ids_has_no_text():
    assert user_text(CallKind.COMPLETIONS, {"prompt": [1, 2, 3]}).text == b""
