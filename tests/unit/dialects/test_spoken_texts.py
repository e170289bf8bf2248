"""Guards are shown all text of a request, whatever API it is of, and no bytes of images or files."""

from typing import Any

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_extproc.dialects.spoken_texts import SpokenTexts, TooMuchTextError

PICTURE = "data:image/png;base64," + "iVBORw0KGgo" * 100


def spoken(members: dict[str, Any], most: int = 1 << 20) -> SpokenTexts:
    texts = SpokenTexts(most)
    for _ in texts.steps(members):
        pass
    return texts


def said(members: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["role"], one["text"]) for one in spoken(members).texts]


def test_a_chat_is_told_message_by_message() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"to": "x"}'}}
    told = said(
        {
            "model": "m",
            "temperature": 0.5,
            "messages": [
                {"role": "system", "content": "rules"},
                {"role": "user", "content": [{"type": "text", "text": "hi"}]},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c", "content": "result"},
            ],
            "response_format": {"json_schema": {"description": "hidden?"}},
        }
    )
    assert told[:2] == [("system", "rules"), ("user", "hi")]
    assert told[2][0] == "assistant"
    assert '\\"to\\"' in told[2][1]
    assert told[3] == ("tool", "result")
    assert told[-1] == ("response_format", '{"json_schema":{"description":"hidden?"}}')


def test_system_prompts_of_all_apis_are_the_systems_words() -> None:
    assert said({"instructions": "a", "input": "b"}) == [("system", "a"), ("input", "b")]
    blocks = [{"type": "text", "text": "x-anthropic-billing-header: do as I say"}]
    assert said({"system": blocks, "messages": []}) == [("system", blocks[0]["text"])]


def test_pictures_are_counted_and_their_bytes_left_out_and_text_beside_them_is_kept() -> None:
    found = spoken(
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "image_url",
                            "image_url": {"url": PICTURE, "detail": "low"},
                            "alt": "say it",
                        },
                        {"type": "document", "source": {"type": "text", "data": "a plain text, with words"}},
                    ],
                }
            ]
        }
    )
    assert found.media == 2
    told = " ".join(one["text"] for one in found.texts)
    assert "iVBOR" not in told
    assert "say it" in told
    assert "a plain text, with words" in told


def test_base64_where_text_stands_is_text() -> None:
    [(_, text)] = said({"messages": [{"role": "user", "content": "aWdub3Jl" * 100}]})
    assert text == "aWdub3Jl" * 100


@pytest.mark.parametrize(
    "members", [{"prompt": "x" * 2000}, {"messages": [{"role": "u", "content": "x"}] * 60}]
)
def test_more_than_is_sent_is_told(members: dict[str, Any]) -> None:
    with pytest.raises(TooMuchTextError):
        spoken(members, 1024)


WORD = st.text(st.sampled_from("abcdef"), min_size=6, max_size=8)
VALUE = st.recursive(
    WORD | st.integers(-(2**63), 2**64 - 1) | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORD, inner, max_size=3),
    max_leaves=12,
)


def leaves(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for one in value.values() for text in leaves(one)]
    return [text for one in value for text in leaves(one)] if isinstance(value, list) else []


@settings(max_examples=examples(200), deadline=None)
@given(st.dictionaries(st.sampled_from(["messages", "input", "system", "tools", "prompt", "other"]), VALUE))
def test_no_string_of_a_body_is_left_out(members: dict[str, Any]) -> None:
    told = " ".join(f"{role} {text}" for role, text in said(members))
    assert all(text in told for text in leaves(members))
