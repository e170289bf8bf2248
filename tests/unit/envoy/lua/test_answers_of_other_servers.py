"""Chats of servers that speak OpenAI's API in their own way: translation loses nothing of what they say."""

import json
from typing import Any

import pytest
from lua_answers import stream, whole
from provider_answers import CHAT, DONE, chat_chunk
from sdk_clients import streamed_message, streamed_response

from pilotage_extproc.domain.head import CallKind

C, M, R = CallKind.CHAT, CallKind.MESSAGES, CallKind.RESPONSES


def call(identity: str, name: str, arguments: object, **more: object) -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}, **more}


def answer(message: dict[str, Any], finish: str) -> bytes:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": None, **message},
        "finish_reason": finish,
    }
    return json.dumps({**CHAT, "choices": [choice]}).encode()


@pytest.mark.parametrize("more", [{"index": 0}, {}], ids=["the same index", "no index"])
def test_calls_that_come_one_an_event_are_told_apart_by_their_ids(more):
    said = (
        chat_chunk({"tool_calls": [call("a", "look", '{"x": 1}', **more)]})
        + chat_chunk({"tool_calls": [call("b", "now", "{}", **more)]}, "stop")
        + DONE
    )
    message = streamed_message(b"".join(stream(C, M, [said])))
    calls = [(block.id, block.name, block.input) for block in message.content]
    assert calls == [("a", "look", {"x": 1}), ("b", "now", {})]
    response = streamed_response(b"".join(stream(C, R, [said])))
    calls = [(item.call_id, item.name, item.arguments) for item in response.output]
    assert calls == [("a", "look", '{"x": 1}'), ("b", "now", "{}")]


def test_a_call_whose_id_is_said_again_with_each_piece_is_one_call():
    pieces = [call("a", "look", '{"x"', index=0), call("a", "look", ": 1}", index=0)]
    said = b"".join(chat_chunk({"tool_calls": [one]}) for one in pieces) + chat_chunk({}, "tool_calls") + DONE
    [block] = streamed_message(b"".join(stream(C, M, [said]))).content
    assert block.input == {"x": 1}


def test_an_answer_that_ends_with_stop_and_calls_tools_asks_for_their_results():
    said = chat_chunk({"tool_calls": [call("a", "look", "{}", index=0)]}) + chat_chunk({}, "stop") + DONE
    assert streamed_message(b"".join(stream(C, M, [said]))).stop_reason == "tool_use"
    body = whole(C, M, answer({"tool_calls": [call("a", "look", "{}")]}, "stop")).body
    assert json.loads(body)["stop_reason"] == "tool_use"


def test_arguments_that_are_an_object_are_carried_as_they_were_written():
    given = call("a", "look", {"x": 1.50, "y": None}, index=0)
    said = chat_chunk({"tool_calls": [given]}) + chat_chunk({}, "tool_calls") + DONE
    [block] = streamed_message(b"".join(stream(C, M, [said]))).content
    assert block.input == {"x": 1.5, "y": None}
    body = json.loads(whole(C, R, answer({"tool_calls": [given]}, "tool_calls")).body)
    assert body["output"][0]["arguments"] == '{"x": 1.5, "y": null}'


def test_content_of_parts_is_text_and_thinking():
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    parts = [thought, {"type": "text", "text": "Yes"}, {"type": "reference", "reference_ids": [1]}]
    said = (
        chat_chunk({"content": parts}) + chat_chunk({"content": ", it is."}) + chat_chunk({}, "stop") + DONE
    )
    thinking, text = streamed_message(b"".join(stream(C, M, [said]))).content
    assert (thinking.thinking, text.text) == ("Hm.", "Yes, it is.")
    blocks = json.loads(whole(C, M, answer({"content": parts}, "stop")).body)["content"]
    assert [(block["type"], block[block["type"]]) for block in blocks] == [
        ("thinking", "Hm."),
        ("text", "Yes"),
    ]


def test_an_answer_that_ends_with_an_error_is_one():
    said = chat_chunk({"content": "half"}) + chat_chunk({}, "error") + DONE
    sent = b"".join(stream(C, M, [said]))
    assert b"event: error" in sent
    assert b"message_stop" not in sent
    for streamed in (False, True):
        refused = whole(C, M, answer({"content": "half"}, "error"), streamed=streamed)
        assert (refused.status, refused.is_stream) == (502, False)
        assert json.loads(refused.body)["error"]["type"] == "api_error"


def test_an_answer_that_is_as_long_as_the_model_can_make_is_cut_off_by_length():
    said = chat_chunk({"content": "x"}) + chat_chunk({}, "model_length") + DONE
    assert streamed_message(b"".join(stream(C, M, [said]))).stop_reason == "max_tokens"
