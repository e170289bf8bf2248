"""Streams of each API: values are found wherever the network cuts, and all else stays byte for byte."""

import json
from typing import Any

import orjson
import pytest
from answering import (
    chat_chunk,
    chat_stream,
    chat_text,
    events_of,
    rules,
    through,
    work,
)
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_extproc.domain.head import CallKind

SECRET = "AKIAIOSFODNN7EXAMPLE"
EMAIL = "alice@mail.example"
REDACT = rules("redact", ["email", "payment-card", "secret"])
BLOCK = rules("block", ["secret"])
FLAG = rules("flag", ["email"])
MAIL = "[EMAIL_k3v4x2abq7]"


def pieces(text: str, size: int = 3) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def test_a_stream_cut_at_every_byte_is_the_same_stream() -> None:
    stream = chat_stream(pieces(f"Write to {EMAIL} today."))
    whole = through([stream], work(REDACT))
    assert EMAIL not in chat_text(whole)
    assert chat_text(whole).startswith("Write to [EMAIL_")
    for cut in range(0, len(stream), 5):
        assert through([stream[:cut], stream[cut:]], work(REDACT)) == whole
    assert through([stream[at : at + 1] for at in range(len(stream))], work(REDACT)) == whole


@settings(max_examples=examples())
@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="@0123456789"), max_size=8), max_size=9)
)
def test_what_has_no_value_arrives_whole(texts: list[str]) -> None:
    got = through([chat_stream(texts)], work(REDACT))
    assert chat_text(got) == "".join(texts)
    assert got.endswith(b"data: [DONE]\n\n")


def test_events_that_change_nothing_stay_byte_for_byte() -> None:
    comment, usage = b": ping\n\n", b'data: {"choices": [], "usage": {"prompt_tokens": 3}}\n\n'
    spaced = b'data: { "choices" : [ {"index":0, "delta":{"content":"Hello, "}} ] }\r\n\r\n'
    stream = b"".join((comment, spaced, usage, b"data: [DONE]\n\n"))
    assert through([stream], work(REDACT)) == stream


def test_nothing_of_a_blocked_value_goes_on_and_the_stream_ends_for_every_choice() -> None:
    two = [
        chat_chunk({"content": "one "}, index=0),
        chat_chunk({"content": "two "}, index=1),
        chat_chunk({"content": SECRET[:9]}, index=1),
        chat_chunk({"content": SECRET[9:] + " is it"}, index=1),
        chat_chunk({"content": "more"}, index=0),
    ]
    got = through(two, work(BLOCK))
    assert SECRET[:4].encode() not in got
    last = events_of(got)[-1]
    assert [(one["index"], one["finish_reason"]) for one in last["choices"]] == [
        (0, "content_filter"),
        (1, "content_filter"),
    ]
    assert got.endswith(b"data: [DONE]\n\n")
    assert b"more" not in got


def test_texts_of_one_stream_are_read_apart() -> None:
    mixed = [
        chat_chunk({"content": "alice@"}, index=0),
        chat_chunk({"content": "mail.example"}, index=1),
        chat_chunk({"reasoning_content": "bob@"}, index=0),
        chat_chunk({"reasoning_content": "mail.example so"}, index=0),
        chat_chunk({}, "stop", index=0),
        chat_chunk({}, "stop", index=1),
        b"data: [DONE]\n\n",
    ]
    got = through(mixed, work(REDACT))
    assert chat_text(got) == "alice@mail.example"
    assert chat_text(got, "reasoning_content").startswith("[EMAIL_")


def test_reasoning_is_over_before_the_text_begins() -> None:
    stream = [
        chat_chunk({"role": "assistant", "content": ""}),
        *(chat_chunk({"reasoning_content": piece}) for piece in pieces("first I think")),
        *(chat_chunk({"content": piece}) for piece in pieces("Then I say it.")),
        chat_chunk({}, "stop"),
    ]
    deltas = [one["choices"][0]["delta"] for one in events_of(through(stream, work(REDACT)))]
    said = [name for one in deltas for name in ("reasoning_content", "content") if one.get(name)]
    assert said == sorted(said, reverse=True)
    assert "".join(one.get("reasoning_content", "") for one in deltas) == "first I think"


def test_the_last_piece_may_come_with_the_reason_why_it_ends() -> None:
    stream = [chat_chunk({"content": f"to {EMAIL[:7]}"}), chat_chunk({"content": EMAIL[7:]}, "stop")]
    got = events_of(through(stream, work(REDACT)))
    assert got[-1]["choices"][0]["delta"]["content"].startswith("[EMAIL_")
    assert got[-1]["choices"][0]["finish_reason"] == "stop"


def call(arguments: str, index: int = 0, **more: Any) -> bytes:
    return chat_chunk({"tool_calls": [{"index": index, "function": {"arguments": arguments}, **more}]})


@pytest.mark.parametrize(
    "value", [f'"{EMAIL}"', "4111111111111111", '{"deep": ["alice\\u0040mail.example"]}']
)
def test_arguments_of_tools_are_looked_at_when_they_are_complete(value: str) -> None:
    arguments = f'{{"to": {value}, "n": 1}}'
    stream = [call(piece, id="c", type="function") for piece in pieces(arguments)]
    stream += [call(piece, 1) for piece in pieces('{"other": true}')]
    got = events_of(through([*stream, chat_chunk({}, "tool_calls")], work(REDACT)))
    said = {0: "", 1: ""}
    for event in got:
        for one in event["choices"][0]["delta"].get("tool_calls", ()):
            said[one["index"]] += one["function"]["arguments"]
    assert json.loads(said[1]) == {"other": True}
    replaced = json.loads(said[0])
    assert replaced["n"] == 1
    assert EMAIL not in json.dumps(replaced)
    assert "_" in json.dumps(replaced["to"])


def test_values_do_not_come_back_in_arguments_of_tools() -> None:
    stream = [chat_chunk({"content": f"I mail {MAIL} now"}), call(f'{{"to": "{MAIL}"}}')]
    for made in (None, REDACT):
        got = through([*stream, chat_chunk({}, "stop")], work(made, originals={MAIL: EMAIL}))
        assert chat_text(got) == f"I mail {EMAIL} now"
        assert got.count(EMAIL.encode()) == 1
        assert f'{{\\"to\\": \\"{MAIL}\\"}}'.encode() in got


def test_probabilities_that_spell_the_text_again_go() -> None:
    spelt = {"content": [{"token": EMAIL, "logprob": -1.0, "bytes": list(EMAIL.encode())}]}
    got = through([chat_chunk({"content": "x"}, logprobs=spelt), chat_chunk({}, "stop")], work(REDACT))
    assert EMAIL.encode() not in got
    assert events_of(got)[0]["choices"][0]["logprobs"] is None


@pytest.mark.parametrize("size", range(1, 8))
def test_a_text_in_parts_goes_on_from_event_to_event(size: int) -> None:
    text = f"see {EMAIL} and [EMAIL_k3v4x2abq7] so"
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    said = [{"type": "text", "text": piece} for piece in pieces]
    grouped = [said[at : at + 2] for at in range(0, len(said), 2)]
    thought = [[{"type": "thinking", "thinking": [part]}] for part in said]
    stream = b"".join(chat_chunk({"content": parts}) for parts in (*thought, *grouped)) + b"data: [DONE]\n\n"
    made = work(rules("redact", ["email"]), originals={"[EMAIL_k3v4x2abq7]": "bob@mail.example"})
    parts = [
        part
        for event in events_of(through([stream], made))
        for part in event["choices"][0]["delta"]["content"]
    ]
    texts = "".join(part["text"] for part in parts if part["type"] == "text")
    thoughts = "".join(part["thinking"][0]["text"] for part in parts if part["type"] == "thinking")
    for one in (texts, thoughts):
        assert one.startswith("see [EMAIL_")
        assert one.endswith("] and bob@mail.example so")


def test_what_has_no_place_in_the_api_is_looked_at_too() -> None:
    stream = [chat_chunk({"content": "x", "annotations": [{"note": f"of {EMAIL}"}]}), chat_chunk({}, "stop")]
    assert EMAIL.encode() not in through(stream, work(REDACT))
    error = b'data: {"error":{"message":"bad %b"}}\n\n' % EMAIL.encode()
    assert EMAIL.encode() not in through([error], work(REDACT))


def test_a_flagged_value_goes_on_and_is_counted() -> None:
    stream = chat_stream(pieces(f"to {EMAIL} and {EMAIL}."))
    assert chat_text(through([stream], work(FLAG))) == f"to {EMAIL} and {EMAIL}."


@pytest.mark.parametrize(
    "odd", [b"data: {]\n\n", b"data: [1]\n\n", b"data: a\ndata: b\n\n", b'data: {"choices":[7]']
)
def test_an_event_that_cannot_be_read_ends_the_answer_or_passes_as_the_rule_says(odd: bytes) -> None:
    first = chat_chunk({"content": "hello "})
    refused = through([first, odd], work(REDACT))
    assert odd not in refused
    assert refused.endswith(b"data: [DONE]\n\n")
    passing = rules("redact", ["email"], refuses=False)
    assert through([first, odd], work(passing)).endswith(odd)


def test_a_stream_that_is_cut_gives_what_was_held_back() -> None:
    got = through([chat_chunk({"content": "to alice@mail.exam"})], work(REDACT))
    assert chat_text(got).startswith("to [EMAIL_")


# messages and responses


def named(members: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (members["type"].encode(), orjson.dumps(members))


def message_stream(text: str, arguments: str = "") -> bytes:
    deltas = [{"type": "text_delta", "text": piece} for piece in pieces(text)]
    partial = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces(arguments)]
    events = [
        {"type": "message_start", "message": {"id": "m", "content": [], "usage": {"input_tokens": 3}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *({"type": "content_block_delta", "index": 0, "delta": one} for one in deltas),
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "input": {}}},
        *({"type": "content_block_delta", "index": 1, "delta": one} for one in partial),
        {"type": "content_block_stop", "index": 1},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    ]
    return b"".join(map(named, events))


def test_messages_keep_each_block_whole_before_it_stops() -> None:
    stream = message_stream(f"to {EMAIL}", f'{{"to": "{EMAIL}"}}')
    got = events_of(through([stream], work(REDACT, CallKind.MESSAGES)))
    order = [(one["type"], one.get("index")) for one in got]
    texts = {0: "", 1: ""}
    for place, one in enumerate(got):
        if one["type"] == "content_block_delta":
            texts[one["index"]] += one["delta"].get("text") or one["delta"].get("partial_json") or ""
            assert place < order.index(("content_block_stop", one["index"]))
    assert texts[0].startswith("to [EMAIL_")
    assert json.loads(texts[1])["to"] == texts[0][3:]


@pytest.mark.parametrize(("text", "arguments"), [(f"key {SECRET} so", "{}"), ("fine", f'{{"k":"{SECRET}"}}')])
def test_filtered_messages_stop_their_block_and_say_refusal(text: str, arguments: str) -> None:
    got = through([message_stream(text, arguments)], work(BLOCK, CallKind.MESSAGES))
    assert SECRET.encode() not in got
    types = [one["type"] for one in events_of(got)]
    assert types[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert events_of(got)[-2]["delta"]["stop_reason"] == "refusal"
    assert types.count("content_block_start") == types.count("content_block_stop")


def response_stream(text: str, **more: Any) -> bytes:
    place = {"item_id": "o", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": text}
    response = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", **more}
    events = [
        {"type": "response.created", "response": {**response, "status": "in_progress", "output": []}},
        *({"type": "response.output_text.delta", **place, "delta": piece} for piece in pieces(text)),
        {"type": "response.output_text.done", **place, "text": text},
        {"type": "response.content_part.done", **place, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": {"content": [part]}},
        {"type": "response.completed", "response": {**response, "output": [{"content": [part]}]}},
    ]
    return b"".join(named({**one, "sequence_number": number}) for number, one in enumerate(events))


def test_responses_say_the_same_in_their_pieces_and_in_what_repeats_them() -> None:
    got = through(
        [response_stream(f"to {EMAIL} of {MAIL}!")], work(REDACT, CallKind.RESPONSES, {MAIL: "Alice"})
    )
    assert EMAIL.encode() not in got
    events = events_of(got)
    text = "".join(one["delta"] for one in events if one["type"].endswith("_text.delta"))
    assert text.startswith("to [EMAIL_")
    assert text.endswith("] of Alice!")
    assert events[-4]["text"] == text
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == text


def test_what_a_client_said_of_itself_is_said_back_as_it_was() -> None:
    got = through(
        [response_stream("fine", instructions=f"write to {EMAIL}")], work(REDACT, CallKind.RESPONSES)
    )
    assert events_of(got)[0]["response"]["instructions"] == f"write to {EMAIL}"


def test_a_filtered_response_is_incomplete() -> None:
    got = events_of(through([response_stream(f"key {SECRET}")], work(BLOCK, CallKind.RESPONSES)))
    last = got[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["status"] == "incomplete"
    assert last["response"]["incomplete_details"] == {"reason": "content_filter"}
    assert last["response"]["id"] == "resp_1"
    assert last["sequence_number"] > got[-2]["sequence_number"]
