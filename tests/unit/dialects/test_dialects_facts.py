"""What rules ask of a conversation means the same in each API."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage_api.conditions.variables import MAX_ITEMS
from pilotage_extproc.dialects.call import Facts, max_tokens
from pilotage_extproc.dialects.context_tokens import context_tokens
from pilotage_extproc.dialects.conversation import Media
from pilotage_extproc.dialects.looking import UnknownFactError
from pilotage_extproc.dialects.table import CALLS, DIALECTS
from pilotage_extproc.domain.head import CallKind

CHAT = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}]},
        {"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "look"}}]},
        {"role": "tool", "content": "found"},
    ],
    "tools": [
        {"type": "function", "function": {"name": "look"}},
        {"type": "custom", "custom": {"name": "run"}},
    ],
    "response_format": {"type": "json_schema", "json_schema": {}},
    "max_completion_tokens": 7,
    "max_tokens": 9,
}
ANTHROPIC = {
    "system": [{"type": "text", "text": "Be brief."}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image", "source": {}}]},
        {"role": "assistant", "content": [{"type": "tool_use", "name": "look"}]},
        {"role": "user", "content": [{"type": "tool_result", "content": "found"}]},
    ],
    "tools": [{"name": "look"}, {"name": "run"}],
    "output_config": {"format": {"type": "json_schema"}},
    "max_tokens": 7,
}
RESPONSES = {
    "instructions": "Be brief.",
    "input": [
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "x"}],
        },
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "name": "look"},
        {"type": "function_call_output", "output": "found"},
    ],
    "tools": [{"type": "function", "name": "look"}, {"type": "custom", "name": "run"}],
    "text": {"format": {"type": "json_schema"}},
    "max_output_tokens": 7,
}
SAME = [(CallKind.CHAT, CHAT), (CallKind.MESSAGES, ANTHROPIC), (CallKind.RESPONSES, RESPONSES)]


def told(kind: CallKind, members: dict[str, Any]) -> dict[str, Any]:
    facts = DIALECTS[kind].facts
    return {name: getattr(facts, name)(members) for name in Facts.__slots__}


@pytest.mark.parametrize(("kind", "members"), SAME)
def test_one_conversation_has_the_same_facts_in_each_api(kind, members):
    facts = told(kind, members)
    assert facts.pop("system_digest") == DIALECTS[CallKind.CHAT].facts.system_digest(CHAT)
    assert facts == {
        "turns": 1,
        "last_role": "tool",
        "tool_names": ("look", "run"),
        "tools_used": ("look",),
        "media": (1, 0),
        "json_schema": True,
    }
    assert max_tokens(DIALECTS[kind], members) == 7


@pytest.mark.parametrize("kind", [kind for kind, _ in SAME])
def test_an_empty_body_has_no_facts(kind):
    facts = told(kind, {})
    assert facts.pop("media") == (0, 0)
    assert not any(facts.values())
    assert facts["last_role"] is None
    assert max_tokens(DIALECTS[kind], {}) is None


def test_media_in_what_a_tool_answered_counts():
    facts = DIALECTS[CallKind.MESSAGES].facts
    result = {"type": "tool_result", "content": [{"type": "image"}, {"type": "text", "text": "x"}]}
    assert facts.media({"messages": [{"role": "user", "content": [result]}]}) == Media(images=1)
    shot = {"type": "computer_call_output", "output": {"type": "computer_screenshot"}}
    assert DIALECTS[CallKind.RESPONSES].facts.media({"input": [shot]}) == Media(images=1)
    sound = {"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}
    assert DIALECTS[CallKind.CHAT].facts.media({"messages": [sound]}) == Media(audio=1)


@pytest.mark.parametrize(
    ("part", "media"),
    [
        ({"image_url": "https://images.example/a.png"}, Media(images=1)),
        ({"type": "text", "text": "a", "uuid": "u", "image_url": {"url": "u"}}, Media(images=1)),
        ({"type": "image_url", "image_url": {"url": "u"}}, Media(images=1)),
        ({"input_audio": {"data": ""}}, Media(audio=1)),
        ({"type": "text", "text": "image_url"}, Media()),
    ],
)
def test_media_count_by_what_a_server_takes_them_for_also_without_a_type(part, media):
    message = {"role": "user", "content": [part]}
    assert DIALECTS[CallKind.CHAT].facts.media({"messages": [message]}) == media


def test_different_system_prompts_have_different_digests():
    digest = DIALECTS[CallKind.CHAT].facts.system_digest
    one, other = ({"messages": [{"role": "developer", "content": text}]} for text in ("a", "b"))
    assert digest(one) != digest(other)
    assert digest({"messages": [{"role": "user", "content": "a"}]}) is None


def test_hosted_tools_of_responses_are_named_by_their_type():
    facts = DIALECTS[CallKind.RESPONSES].facts
    members = {"tools": [{"type": "web_search"}], "input": [{"type": "web_search_call"}]}
    assert facts.tool_names(members) == facts.tools_used(members) == ("web_search",)


def test_a_legacy_function_counts_as_a_tool():
    facts = DIALECTS[CallKind.CHAT].facts
    calling = {"role": "assistant", "function_call": {"name": "f"}}
    members = {"functions": [{"name": "f"}], "messages": [calling, {"role": "function", "content": "x"}]}
    assert (facts.tool_names(members), facts.tools_used(members)) == (("f",), ("f",))
    assert facts.last_role(members) == "tool"


@pytest.mark.parametrize("limit", [True, "5", 5.0, 1e25, 2**63, [5]], ids=repr)
def test_a_limit_that_is_no_number_of_tokens_is_unknown(limit):
    for more in ({}, {"max_completion_tokens": 9}):
        with pytest.raises(UnknownFactError):
            max_tokens(DIALECTS[CallKind.CHAT], {"max_tokens": limit, **more})


def test_a_limit_of_null_is_none():
    assert max_tokens(DIALECTS[CallKind.CHAT], {"max_tokens": None}) is None


HOSTILE = [[], {}, 5, None, True, "x", ["x"], {"a": 1}]


@pytest.mark.parametrize("value", HOSTILE, ids=repr)
def test_no_value_of_a_known_member_makes_a_fact_raise(value):
    part = dict.fromkeys(("type", "role", "content", "text", "name", "output", "function"), value)
    item = {**part, "content": [part], "tool_calls": [part], "function_call": part}
    members = {name: [item, value] for name in ("messages", "input", "tools", "functions", "system")}
    members |= dict.fromkeys(("response_format", "text", "output_config"), part)
    for call in CALLS:
        told(call.kind, members)
        context_tokens(call.kind, members)


@pytest.mark.parametrize("kind", [kind for kind, _ in SAME])
def test_lists_of_tools_longer_than_conditions_read_end_behind_what_is_too_much(kind):
    many = [{"type": "custom", "custom": {"name": f"t{n}"}, "name": f"t{n}"} for n in range(100)]
    assert len(DIALECTS[kind].facts.tool_names({"tools": many})) == MAX_ITEMS + 1
    long = {"custom": {"name": "x" * 2000}, "name": "x" * 2000}
    assert DIALECTS[kind].facts.tool_names({"tools": [many[0], long, many[1]]}) == ("t0", "x" * 2000)


WORDS = st.sampled_from(
    [
        "role",
        "content",
        "type",
        "tool_calls",
        "function",
        "name",
        "messages",
        "input",
        "tools",
        "text",
        "user",
        "tool",
        "image_url",
        "system",
        "instructions",
        "output",
        "response_format",
        "max_tokens",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=4) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=30,
)


@given(members=st.dictionaries(WORDS, JSON, max_size=6))
def test_no_body_makes_a_fact_raise(members):
    for call in CALLS:
        told(call.kind, members)
        with suppress(UnknownFactError):
            max_tokens(call, members)
