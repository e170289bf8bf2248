"""What a call asks of its answer: only a plain text may be kept short."""

import pytest

from pilotage_extproc.dialects.shape import capabilities_needed, is_plain
from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.domain.head import CallKind

ASKED = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "f"}}
CALLED = {"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}


@pytest.mark.parametrize(
    "more",
    [
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_schema", "json_schema": {}}},
        {"guided_regex": "a+"},
        {"structured_outputs": {"choice": ["a"]}},
        {"tools": [TOOL]},
        {"messages": [ASKED, CALLED, {"role": "tool", "content": "1"}, ASKED]},
        {"reasoning_effort": "low"},
        {"reasoning": {"effort": "high"}},
        {"chat_template_kwargs": {"enable_thinking": True}},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        {"text": {"format": {"type": "json_schema"}}},
        {"n": 4},
        {"best_of": 4},
        {"prompt": ["a", "b"]},
        {"prompt": [[1], [2]]},
        {"prompt_embeds": ["a", "b"]},
        {"prompt": "a", "prompt_embeds": "b"},
        {"tools": [TOOL] * 100_001},
    ],
)
def test_json_tools_reasoning_several_answers_and_what_is_not_known_are_not_plain(more):
    assert not is_plain(DIALECTS[CallKind.CHAT], {"messages": [ASKED], **more})


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"response_format": {"type": "text"}},
        {"reasoning_effort": "none"},
        {"reasoning_effort": ["x"], "reasoning": 3, "thinking": [], "chat_template_kwargs": "x"},
        {"n": 1},
        {"prompt": ["a"]},
        {"prompt": [1, 2]},
        {"prompt_embeds": "a"},
        {"prompt": None, "prompt_embeds": ["a"]},
        {"tools": []},
    ],
)
def test_a_text_is_plain(more):
    assert is_plain(DIALECTS[CallKind.CHAT], {"messages": [ASKED], **more})


def test_capabilities_are_those_the_body_uses():
    image = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}
    members = {"messages": [image], "tools": [TOOL], "response_format": {"type": "json_schema"}}
    assert capabilities_needed(DIALECTS[CallKind.CHAT], members) == {"tools", "json", "vision"}
    assert capabilities_needed(DIALECTS[CallKind.CHAT], {"messages": [ASKED]}) == frozenset()
