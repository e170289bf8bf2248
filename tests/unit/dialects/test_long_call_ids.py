"""Long ids of calls are put in OpenAI's form in the bytes of a chat or response, and nothing else changes."""

import json
from typing import Any

import orjson
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_extproc.dialects.splice import edited
from pilotage_extproc.dialects.transform.long_call_ids import long_call_ids
from pilotage_extproc.dialects.translation.facts import ModelFacts
from pilotage_extproc.dialects.translation.translate import translate
from pilotage_extproc.domain.head import CallKind

OF_VLLM = "chatcmpl-tool-0123456789abcdef0123456789abcdef"


def made(members: dict[str, Any], **dumps: Any) -> dict[str, Any]:
    body = json.dumps(members, **dumps).encode()
    kind = CallKind.RESPONSES if "input" in members else CallKind.CHAT
    edits = long_call_ids(body, orjson.loads(body), kind)
    assert edits is not None
    changed: dict[str, Any] = orjson.loads(edited(body, edits))
    return changed


def turn(*ids: str) -> list[dict[str, Any]]:
    calls = [{"function": {"name": "f", "arguments": '{"id":"' + one + '"}'}, "id": one} for one in ids]
    return [
        {"role": "assistant", "content": OF_VLLM, "tool_calls": calls},
        *({"role": "tool", "tool_call_id": one, "content": one} for one in ids),
    ]


ids = st.sampled_from([OF_VLLM, OF_VLLM[:40], OF_VLLM[:41], OF_VLLM + 'Ä"\\', "call_1", ""])
others = st.sampled_from([{"role": "user", "content": OF_VLLM}, {"role": "assistant", "tool_calls": None}])
turns = st.lists(ids, max_size=3).map(lambda found: turn(*found)) | others.map(lambda one: [one])


@settings(max_examples=examples(150), deadline=None)
@given(st.lists(turns, max_size=4), st.sampled_from([None, 1]), st.booleans())
def test_calls_and_results_stay_paired_and_all_else_is_as_it_was(said, indent, ascii_only):
    messages = [message for one in said for message in one]
    changed = made({"model": "m", "messages": messages}, indent=indent, ensure_ascii=ascii_only)["messages"]
    known: dict[str, str] = {}
    for before, after in zip(messages, changed, strict=True):
        pairs = [(before, after, "tool_call_id")]
        pairs += [
            (*both, "id")
            for both in zip(before.get("tool_calls") or [], after.get("tool_calls") or [], strict=True)
        ]
        for old, new, name in pairs:
            if name in old:
                assert len(new[name]) <= 40
                assert (new[name] == old[name]) == (len(old[name]) <= 40)
                assert known.setdefault(old[name], new[name]) == new[name]
                new[name] = old[name]
        assert after == before
    assert len(set(known.values())) == len(known)


def test_an_id_is_the_same_whether_its_request_is_translated_or_not():
    [asked, _] = made({"messages": turn(OF_VLLM)})["messages"]
    use = {"type": "tool_use", "id": OF_VLLM, "name": "f", "input": {}}
    members = {"max_tokens": 9, "messages": [{"role": "assistant", "content": [use]}]}
    translated = translate(CallKind.MESSAGES, CallKind.CHAT, members, ModelFacts("m"))
    [call] = orjson.loads(translated.body)["messages"][0]["tool_calls"]
    assert call["id"] == asked["tool_calls"][0]["id"]


@pytest.mark.parametrize(
    "messages",
    [
        None,
        "text",
        [],
        [None, 1, "text", {"tool_calls": OF_VLLM}],
        [{"tool_call_id": 7}, {"tool_calls": [OF_VLLM, None, {"id": [OF_VLLM]}]}],
    ],
)
def test_what_is_no_chat_is_not_touched(messages):
    assert made({"messages": messages}) == {"messages": messages}


def test_odd_members_beside_a_long_id_are_not_touched():
    odd = {"role": "tool", "tool_calls": OF_VLLM, "tool_call_id": OF_VLLM}
    mixed = {"tool_calls": [OF_VLLM, None, {"id": OF_VLLM}]}
    [first, second] = made({"messages": [odd, mixed]})["messages"]
    assert first["tool_calls"] == OF_VLLM
    assert second["tool_calls"] == [OF_VLLM, None, {"id": first["tool_call_id"]}]
    assert len(first["tool_call_id"]) == 37


def test_of_a_body_of_too_many_parts_it_is_said_that_its_ids_are_not_found():
    many = [{"role": "user", "content": [{}] * 110_000}]
    body = json.dumps({"messages": [*many, *turn(OF_VLLM)]}).encode()
    assert long_call_ids(body, orjson.loads(body), CallKind.CHAT) is None
    body = json.dumps({"messages": [*many, *turn("short")]}).encode()
    assert long_call_ids(body, orjson.loads(body), CallKind.CHAT) == []


OF_64 = "call_" + "0" * 59
CALLS = ("function_call", "custom_tool_call", "shell_call", "apply_patch_call", "computer_call")
items = st.builds(
    dict,
    type=st.sampled_from([f"{call}{end}" for call in CALLS for end in ("", "_output")]),
    call_id=st.sampled_from(
        [OF_64, OF_64 + "0", OF_64 + 'Ä"\\', OF_VLLM, "call_1", "", None, 7, [OF_64 + "0"]]
    ),
    id=st.just(OF_64 + "0"),
    output=st.sampled_from([OF_64 + "0", [{"type": "input_text", "text": "x", "call_id": OF_64 + "0"}]]),
)
spoken = st.sampled_from([{"role": "user", "content": OF_64 + "0"}, "text", None, [], 1])


@settings(max_examples=examples(150), deadline=None)
@given(st.lists(items | spoken, max_size=6), st.sampled_from([None, 1]), st.booleans())
def test_calls_and_results_of_responses_stay_paired_up_to_64_characters(said, indent, ascii_only):
    changed = made({"model": "m", "input": said}, indent=indent, ensure_ascii=ascii_only)["input"]
    known: dict[str, str] = {}
    for before, after in zip(said, changed, strict=True):
        old = before.get("call_id") if isinstance(before, dict) else None
        if isinstance(old, str):
            assert len(after["call_id"]) <= 64
            assert (after["call_id"] == old) == (len(old) <= 64)
            assert known.setdefault(old, after["call_id"]) == after["call_id"]
            after["call_id"] = old
        assert after == before
    assert len(set(known.values())) == len(known)


def test_an_id_too_long_for_responses_is_the_same_in_a_chat():
    long = OF_64 + "0"
    [item] = made({"input": [{"type": "function_call", "call_id": long}]})["input"]
    [asked, _] = made({"messages": turn(long)})["messages"]
    assert item["call_id"] == asked["tool_calls"][0]["id"]


@pytest.mark.parametrize("said", [None, OF_64 + "0", {"call_id": OF_64 + "0"}])
def test_input_that_is_no_list_is_not_touched(said):
    assert made({"input": said}) == {"input": said}
