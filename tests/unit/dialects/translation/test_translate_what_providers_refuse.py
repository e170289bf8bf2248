"""Requests that one API takes and another refuses: they are put in a form it takes, or refused by name."""

import re
from typing import Any
from uuid import uuid4

import orjson
import pytest
from sdk_types import check_request

from pilotage_extproc.dialects.translation.facts import ModelFacts
from pilotage_extproc.dialects.translation.translate import translate
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import Refusal, RequestRefused

C, M, R = CallKind.CHAT, CallKind.MESSAGES, CallKind.RESPONSES
FACTS = ModelFacts("x", 4096)
HI = {"role": "user", "content": "hi"}
OF_VLLM = "chatcmpl-tool-0123456789abcdef0123456789abcdef"


def written(kind: CallKind, target: CallKind, **members: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The translated body, which the SDK's types take, and the notes."""
    translated = translate(kind, target, {"model": "m", **members}, FACTS)
    body = orjson.loads(translated.body)
    check_request(target, body)
    return body, translated.notes


def called(identity: str) -> dict[str, Any]:
    call = {"id": identity, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    return {"role": "assistant", "content": "\n\n", "tool_calls": [call]}


@pytest.mark.parametrize("identity", ["functions.look:0", "call_1|fc_2", "Ä", ""])
def test_ids_of_calls_that_anthropic_refuses_are_put_in_its_form(identity):
    messages = [HI, called(identity), {"role": "tool", "tool_call_id": identity, "content": "ok"}]
    body, notes = written(C, M, messages=messages)
    [call], [result] = body["messages"][1]["content"], body["messages"][2]["content"]
    assert call["id"] == result["tool_use_id"]
    assert re.fullmatch("[A-Za-z0-9_-]+", call["id"])
    assert "ids of calls: put in the provider's form" in notes
    items: list[Any] = [{"role": "user", "content": "hi"}]
    items.append({"type": "function_call", "call_id": identity, "name": "f", "arguments": "{}"})
    items.append({"type": "function_call_output", "call_id": identity, "output": "ok"})
    body, _ = written(R, M, input=items)
    assert body["messages"][1]["content"][0]["id"] == call["id"]


def test_ids_of_calls_that_are_told_apart_stay_told_apart():
    calls = [one["tool_calls"][0] for one in map(called, ("functions.f:0", "functions.f:1"))]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": call["id"]} for call in calls]
    body, _ = written(C, M, messages=[HI, {"role": "assistant", "tool_calls": calls}, *results])
    made = [call["id"] for call in body["messages"][1]["content"]]
    assert len(set(made)) == 2
    assert [result["tool_use_id"] for result in body["messages"][2]["content"]] == made


def test_ids_of_calls_that_openai_refuses_are_put_in_its_form_and_others_stay():
    for identity, stays in ((OF_VLLM, False), (OF_VLLM[:40], True), ("functions.f:0", True)):
        use = {"type": "tool_use", "id": identity, "name": "f", "input": {}}
        result = {"type": "tool_result", "tool_use_id": identity, "content": "ok"}
        said = [HI, {"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
        body, notes = written(M, C, messages=said, max_tokens=9)
        [made] = [call["id"] for call in body["messages"][1]["tool_calls"]]
        assert body["messages"][2]["tool_call_id"] == made
        assert len(made) <= 40
        assert (made == identity, notes == ()) == (stays, stays)


def test_blank_text_is_left_out_for_anthropic_and_the_call_beside_it_stays():
    messages = [HI, called("a"), {"role": "tool", "tool_call_id": "a", "content": "ok"}]
    system = {"role": "system", "content": " "}
    body, notes = written(C, M, messages=[system, *messages, {"role": "user", "content": "\t"}])
    assert "system" not in body
    assert [block["type"] for block in body["messages"][1]["content"]] == ["tool_use"]
    assert [block["type"] for block in body["messages"][2]["content"]] == ["tool_result"]
    assert "messages[]: blank text left out" in notes


def test_thinking_without_a_signature_is_left_out_for_anthropic():
    blocks = [
        {"type": "thinking", "thinking": "hm"},
        {"type": "thinking", "thinking": "well", "signature": uuid4().hex},
        {"type": "thinking", "thinking": "so", "signature": "s"},
    ]
    body, notes = written(
        C, M, messages=[HI, {"role": "assistant", "content": "x", "thinking_blocks": blocks}, HI]
    )
    assert [block["type"] for block in body["messages"][1]["content"]] == ["thinking", "text"]
    assert body["messages"][1]["content"][0]["signature"] == "s"
    assert notes == ("messages[]: thinking without a signature left out",)


@pytest.mark.parametrize("stop", ["\n", "", ["END", "  "]])
def test_a_stop_sequence_of_blanks_is_refused_by_name_for_anthropic(stop):
    with pytest.raises(RequestRefused) as refused:
        written(C, M, messages=[HI], stop=stop)
    assert (refused.value.reason, refused.value.param) == (Refusal.NOT_TRANSLATABLE, "stop")


@pytest.mark.parametrize(
    ("given", "taken"), [("image/jpg", "image/jpeg"), ("image/WEBP", "image/webp"), ("image/svg+xml", None)]
)
def test_images_are_of_the_types_that_anthropic_takes(given, taken):
    part = {"type": "image_url", "image_url": {"url": f"data:{given};base64,AA=="}}
    messages = [{"role": "user", "content": [part]}]
    if taken:
        body, _ = written(C, M, messages=messages)
        assert body["messages"][0]["content"][0]["source"]["media_type"] == taken
        return
    with pytest.raises(RequestRefused) as refused:
        written(C, M, messages=messages)
    assert refused.value.param == "messages.0.content.0.image_url.url"


def test_a_call_that_failed_without_a_word_says_so_to_a_chat():
    use = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    for content, said in ((None, "error"), ("no such file", "no such file")):
        result = {"type": "tool_result", "tool_use_id": "a", "content": content, "is_error": True}
        turns = [HI, {"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
        body, _ = written(M, C, messages=turns, max_tokens=9)
        assert body["messages"][2]["content"] == said
