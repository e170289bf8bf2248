"""Answers of providers in the caller's API: what the SDKs make of them is what the provider said."""

import json
import random
from itertools import pairwise
from pathlib import Path

import anthropic.types
import openai.types.chat
import openai.types.responses
import pytest
from lua_answers import stream, whole
from provider_answers import (
    ARGUMENTS,
    CHAT,
    CHAT_STREAM,
    DONE,
    MESSAGE,
    MESSAGE_STREAM,
    TEXT,
    call_delta,
    chat_chunk,
    message_end,
    message_event,
    message_start,
)
from sdk_clients import chunks_of, streamed_chat, streamed_message, streamed_response

from pilotage_extproc.domain.head import CallKind

FIXTURES = Path(__file__).parents[3] / "fixtures" / "vllm-0.32"
C, M, R = CallKind.CHAT, CallKind.MESSAGES, CallKind.RESPONSES
STREAMS = {M: MESSAGE_STREAM, C: CHAT_STREAM}
WAYS = [(M, C), (M, R), (C, M), (C, R)]


def test_the_answers_these_tests_stand_on_are_what_the_sdks_know():
    anthropic.types.Message.model_validate(MESSAGE)
    openai.types.chat.ChatCompletion.model_validate(CHAT)
    assert streamed_message(MESSAGE_STREAM).content[2].text == TEXT
    assert streamed_chat(CHAT_STREAM).choices[0].message.content == TEXT


def check_chat(completion) -> None:
    choice = completion.choices[0]
    assert (completion.id, completion.model) == ("msg_01", "claude-x")
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == TEXT
    assert choice.message.reasoning_content == "Two tools."
    calls = [
        (call.id, call.function.name, json.loads(call.function.arguments))
        for call in choice.message.tool_calls
    ]
    assert calls == [("toolu_1", "look", {"q": [1, {"a": "}"}]}), ("toolu_2", "now", {})]
    usage = completion.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (22, 42, 64)
    assert usage.prompt_tokens_details.cached_tokens == 7
    assert usage.prompt_tokens_details.cache_write_tokens == 5
    assert usage.completion_tokens_details.reasoning_tokens == 12


def check_message(message) -> None:
    assert (message.id, message.model, message.stop_reason) == ("chatcmpl-1", "gpt-x", "tool_use")
    thinking, text, first, second = message.content
    assert (thinking.thinking, thinking.signature) == ("Two tools.", "")
    assert text.text == TEXT
    assert (first.id, first.name, first.input) == ("call_1", "look", json.loads(ARGUMENTS))
    assert (second.id, second.name, second.input) == ("call_2", "now", {})
    usage = message.usage
    assert (usage.input_tokens, usage.output_tokens) == (10, 42)
    assert (usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (7, 5)


def check_response(response, call_ids) -> None:
    assert response.status == "completed"
    reasoning, message, first, second = response.output
    assert reasoning.content[0].text == "Two tools."
    assert message.content[0].text == TEXT == response.output_text
    assert (first.call_id, second.call_id) == call_ids
    assert (first.name, second.name, json.loads(second.arguments)) == ("look", "now", {})
    usage = response.usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (22, 42, 64)
    assert usage.input_tokens_details.cached_tokens == 7
    assert usage.output_tokens_details.reasoning_tokens == 12


def test_a_message_becomes_a_chat_completion():
    status, body, _ = whole(M, C, json.dumps(MESSAGE).encode())
    assert status == 200
    check_chat(openai.types.chat.ChatCompletion.model_validate_json(body))
    blocks = json.loads(body)["choices"][0]["message"]["thinking_blocks"]
    assert blocks == MESSAGE["content"][:2]


def test_a_stream_of_a_message_becomes_one_of_a_chat_completion():
    body = b"".join(stream(M, C, [MESSAGE_STREAM]))
    for data in body.split(b"\n\n"):
        if data.startswith(b"data: {"):
            openai.types.chat.ChatCompletionChunk.model_validate_json(data[6:], strict=True)
    check_chat(streamed_chat(body))
    assert (
        b'"thinking_blocks":[{"index":0,"type":"thinking","thinking":"Two tools.","signature":"c2ln"}]'
        in body
    )
    assert b'"thinking_blocks":[{"index":1,"type":"redacted_thinking","data":"cmVk"}]' in body
    assert body.endswith(DONE)


def test_a_chat_completion_becomes_a_message():
    status, body, _ = whole(C, M, json.dumps(CHAT).encode())
    assert status == 200
    message = anthropic.types.Message.model_validate_json(body, strict=True)
    check_message(message)
    assert message.usage.output_tokens_details.thinking_tokens == 12
    assert b'"input":' + ARGUMENTS.encode() in body


def test_a_stream_of_a_chat_completion_becomes_one_of_a_message():
    body = b"".join(stream(C, M, [CHAT_STREAM]))
    check_message(streamed_message(body))
    assert b"keep-alive" not in body


def test_both_become_responses():
    for provider, answer, call_ids in (
        (M, MESSAGE, ("toolu_1", "toolu_2")),
        (C, CHAT, ("call_1", "call_2")),
    ):
        body = whole(provider, R, json.dumps(answer).encode()).body
        check_response(openai.types.responses.Response.model_validate_json(body), call_ids)
        streamed = b"".join(stream(provider, R, [STREAMS[provider]]))
        check_response(streamed_response(streamed), call_ids)
        numbers = [
            json.loads(line[6:])["sequence_number"]
            for line in streamed.split(b"\n")
            if line.startswith(b"data: ")
        ]
        assert numbers == list(range(len(numbers)))


@pytest.mark.parametrize(("provider", "answer_as"), WAYS)
def test_an_answer_cut_anywhere_is_translated_alike(provider, answer_as):
    said = STREAMS[provider]
    expected = b"".join(stream(provider, answer_as, [said]))
    for at in range(1, len(said)):
        assert b"".join(stream(provider, answer_as, [said[:at], said[at:]])) == expected, at
    assert b"".join(stream(provider, answer_as, [said[at : at + 1] for at in range(len(said))])) == expected
    seeded = random.Random(7)
    for _ in range(50):
        cuts = [0, *sorted(seeded.sample(range(1, len(said)), 12)), len(said)]
        pieces = [said[one:other] for one, other in pairwise(cuts)]
        assert b"".join(stream(provider, answer_as, pieces)) == expected, cuts


@pytest.mark.parametrize(("provider", "answer_as"), WAYS)
@pytest.mark.parametrize(
    "change",
    [
        lambda said: said.replace(b"\n", b"\r\n"),
        lambda said: said.replace(b"data: ", b"data:"),
        lambda said: b"\xef\xbb\xbf" + said,
        lambda said: said.replace(b"data: {", b"id: 7\nretry: 5\ndata: {"),
        lambda said: said.replace(b"data: {", b"data: {\ndata: "),
        lambda said: said.rstrip(b"\n"),
    ],
    ids=["crlf", "no space", "byte order mark", "other fields", "data over lines", "no last empty line"],
)
def test_events_may_be_written_in_any_way_the_standard_has(provider, answer_as, change):
    expected = b"".join(stream(provider, answer_as, [STREAMS[provider]]))
    assert b"".join(stream(provider, answer_as, [change(STREAMS[provider])])) == expected


@pytest.mark.parametrize(("provider", "answer_as"), WAYS)
def test_each_event_leaves_as_soon_as_it_is_complete(provider, answer_as):
    pieces = [event + b"\n\n" for event in STREAMS[provider].split(b"\n\n")[:-1]]
    of_text = next(
        number for number, piece in enumerate(pieces) if json.dumps(TEXT[:5])[1:-1].encode() in piece
    )
    sent = stream(provider, answer_as, pieces)
    assert all(sent[of_text : of_text + 3])


@pytest.mark.parametrize(("provider", "answer_as"), WAYS)
def test_nothing_leaves_before_there_is_content(provider, answer_as):
    """So the hold of headers covers a provider that dies after its first, empty events."""
    first = {M: message_start() + message_event("ping"), C: chat_chunk({"role": "assistant", "content": ""})}
    assert stream(provider, answer_as, [first[provider]], ended=False) == [b"", b""]


def test_answers_of_a_real_vllm_are_translated():
    chat = b"".join(stream(C, M, [(FIXTURES / "chat.sse").read_bytes()]))
    message = streamed_message(chat)
    assert (message.usage.input_tokens, message.usage.output_tokens) == (339, 8)
    assert message.stop_reason == "max_tokens"
    *_, last, usage = chunks_of(b"".join(stream(M, C, [(FIXTURES / "messages.sse").read_bytes()])))
    assert (usage.usage.prompt_tokens, usage.usage.completion_tokens) == (11, 8)
    assert last.choices[0].finish_reason == "length"
    body = whole(M, C, (FIXTURES / "messages.json").read_bytes()).body
    assert openai.types.chat.ChatCompletion.model_validate_json(body).choices[0].finish_reason == "length"


def test_usage_leaves_only_where_it_is_wanted():
    assert b'"usage"' not in b"".join(stream(M, C, [MESSAGE_STREAM], usage=False))


def test_thinking_reaches_an_anthropic_client_only_if_it_asked_for_it():
    assert b"thinking" not in b"".join(stream(C, M, [CHAT_STREAM], thinking=False)).replace(
        b"thinking_tokens", b""
    )
    body = whole(C, M, json.dumps(CHAT).encode(), thinking=False).body
    assert [block["type"] for block in json.loads(body)["content"]] == ["text", "tool_use", "tool_use"]


def test_calls_whose_pieces_come_in_turns_are_put_in_order():
    first, second = '{"a": 1, "b": 2}', '{"c": 3}'
    said = (
        chat_chunk(call_delta(0, first[:4], id="call_1", name="one"))
        + chat_chunk(call_delta(1, second[:4], id="call_2", name="two"))
        + chat_chunk(call_delta(0, first[4:]))
        + chat_chunk(call_delta(1, second[4:]))
        + chat_chunk({}, "tool_calls")
        + DONE
    )
    for answer_as, judge in ((M, streamed_message), (R, streamed_response)):
        answer = judge(b"".join(stream(C, answer_as, [said])))
        if answer_as is M:
            assert [(block.id, block.input) for block in answer.content] == [
                ("call_1", {"a": 1, "b": 2}),
                ("call_2", {"c": 3}),
            ]
        else:
            assert [(item.call_id, item.arguments) for item in answer.output] == [
                ("call_1", first),
                ("call_2", second),
            ]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("stop_sequence", "stop"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("pause_turn", "stop"),
        ("model_context_window_exceeded", "length"),
        ("something_new", "stop"),
    ],
)
def test_stop_reasons_of_messages(theirs, ours):
    assert (
        json.loads(whole(M, C, json.dumps({**MESSAGE, "stop_reason": theirs}).encode()).body)["choices"][0][
            "finish_reason"
        ]
        == ours
    )
    said = message_start() + message_end(theirs)
    *_, last, _usage = chunks_of(b"".join(stream(M, C, [said])))
    assert last.choices[0].finish_reason == ours


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("tool_calls", "tool_use"),
        ("content_filter", "refusal"),
    ],
)
def test_finish_reasons_of_chats(theirs, ours):
    said = chat_chunk({"content": "x"}) + chat_chunk({}, theirs) + DONE
    assert streamed_message(b"".join(stream(C, M, [said]))).stop_reason == ours


def test_a_refusal_is_text_with_its_stop_reason():
    said = chat_chunk({"refusal": "I won't."}) + chat_chunk({}, "stop") + DONE
    message = streamed_message(b"".join(stream(C, M, [said])))
    assert (message.content[0].text, message.stop_reason) == ("I won't.", "refusal")
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": None, "refusal": "No."},
    }
    body = whole(C, M, json.dumps({**CHAT, "choices": [choice]}).encode()).body
    assert json.loads(body)["stop_reason"] == "refusal"
    response = json.loads(whole(C, R, json.dumps({**CHAT, "choices": [choice]}).encode()).body)
    assert response["output"][0]["content"] == [{"type": "refusal", "refusal": "No."}]


def test_a_call_cut_off_by_the_limit_of_the_answer_is_left_out():
    cut = {
        "index": 0,
        "finish_reason": "length",
        "message": {
            "role": "assistant",
            "content": "x",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": '}}],
        },
    }
    body = whole(C, M, json.dumps({**CHAT, "choices": [cut]}).encode()).body
    assert [block["type"] for block in json.loads(body)["content"]] == ["text"]
    assert json.loads(body)["stop_reason"] == "max_tokens"


def test_a_whole_answer_to_a_client_that_asked_for_a_stream_becomes_one():
    answer = whole(M, C, json.dumps(MESSAGE).encode(), streamed=True)
    assert answer.is_stream
    check_chat(streamed_chat(answer.body))
    answer = whole(C, M, json.dumps(CHAT).encode(), streamed=True)
    assert answer.is_stream
    check_message(streamed_message(answer.body))


def test_usage_that_nobody_stated_is_not_made_up():
    said = chat_chunk({"content": "x"}) + chat_chunk({}, "stop") + DONE
    assert b'"usage":null' in b"".join(stream(C, R, [said]))
    message = {name: value for name, value in MESSAGE.items() if name != "usage"}
    assert "usage" not in json.loads(whole(M, C, json.dumps(message).encode()).body)


HOUR = {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 3}


def test_what_a_cache_keeps_for_an_hour_is_told_to_whoever_books_it():
    usage = {**MESSAGE["usage"], "cache_creation": HOUR}
    said = json.dumps({**MESSAGE, "usage": usage}).encode()
    chat, response = (json.loads(whole(M, kind, said).body) for kind in (C, R))
    details = {"cached_tokens": 7, "cache_write_tokens": 5, "cache_write_hour_tokens": 3}
    assert chat["usage"]["prompt_tokens_details"] == details
    assert response["usage"]["input_tokens_details"] == details
    openai.types.chat.ChatCompletion.model_validate(chat)
    openai.types.responses.Response.model_validate(response)
    start = message_start(cache_read_input_tokens=7, cache_creation_input_tokens=5, cache_creation=HOUR)
    rest = message_event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 4})
    streamed = b"".join(stream(M, C, [start + rest + message_event("message_stop")]))
    assert chunks_of(streamed)[-1].usage.prompt_tokens_details.model_dump(exclude_none=True) == details
