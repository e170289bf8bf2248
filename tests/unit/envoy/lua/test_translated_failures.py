"""Providers that fail or send rubbish: the caller gets an error of its own API, and nothing untranslated."""

import json

import anthropic
import openai
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lua_answers import stream, whole
from provider_answers import (
    CHAT,
    CHAT_STREAM,
    DONE,
    MESSAGE,
    MESSAGE_STREAM,
    call_delta,
    chat_chunk,
    message_event,
    message_start,
)
from sdk_clients import anthropic_client, openai_client, streamed_chat, streamed_message, streamed_response

from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.envoy.contract import STREAM_ERROR_STATUSES

C, M, R = CallKind.CHAT, CallKind.MESSAGES, CallKind.RESPONSES
WAYS = [(M, C), (M, R), (C, M), (C, R)]
STREAMS = {M: MESSAGE_STREAM, C: CHAT_STREAM}
BEGUN = {
    M: message_start()
    + message_event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    + message_event("content_block_delta", index=0, delta={"type": "text_delta", "text": "hello"}),
    C: chat_chunk({"role": "assistant", "content": "hello"}),
}
ERRORS = {
    M: {"type": "error", "error": {"type": "overloaded_error", "message": "too much"}},
    C: {"error": {"message": "too much", "type": "server_error", "param": None, "code": 503}},
}
JUDGES = {C: streamed_chat, M: streamed_message, R: streamed_response}


def last_event(body: bytes) -> dict:
    data = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: ")][-1]
    return json.loads(data)


def is_error(answer_as: CallKind, event: dict) -> bool:
    if answer_as is C:
        return set(event) == {"error"} and set(event["error"]) == {"message", "type", "param", "code"}
    if answer_as is M:
        return event["type"] == "error" and set(event["error"]) == {"type", "message"}
    return event["type"] in ("error", "response.failed")


@pytest.mark.parametrize(("provider", "answer_as"), WAYS)
@pytest.mark.parametrize("begun", [True, False])
def test_an_error_in_a_stream_is_one_of_the_callers_api(provider, answer_as, begun):
    event = b"data: " + json.dumps(ERRORS[provider]).encode() + b"\n\n"
    said = (BEGUN[provider] if begun else b"") + event
    body = b"".join(stream(provider, answer_as, [said, STREAMS[provider]]))
    assert is_error(answer_as, last_event(body))
    assert b"too much" in body
    if answer_as is not R:
        with pytest.raises((openai.APIError, anthropic.APIError), match="too much"):
            JUDGES[answer_as](body)


def test_a_response_that_failed_says_so_by_its_status():
    said = BEGUN[C] + b"data: " + json.dumps(ERRORS[C]).encode() + b"\n\n"
    event = last_event(b"".join(stream(C, R, [said])))
    assert event["response"]["status"] == "failed"
    assert event["response"]["error"] == {"code": "server_error", "message": "too much"}


RUBBISH = [
    b"data: null\n\n",
    b"data: 7\n\n",
    b'data: "RUBBISH"\n\n',
    b'data: ["RUBBISH"]\n\n',
    b'data: {"RUBBISH\n\n',
    b'data: {"a": "\\uZZZZ"}\n\n',
    b'data: {"a": "\\x"}\n\n',
    b'data: {"a" 1}\n\n',
    b'data: {"a": 1} RUBBISH\n\n',
    b'data: {"a": [1 2]}\n\n',
    b"data: {a: 1}\n\n",
    b"data: " + b"[" * 100_000 + b"\n\n",
    b"data: " + b'{"a":' * 65 + b"1" + b"}" * 65 + b"\n\n",
    b"data: \xff\xfe\n\n",
    b"data: nil\n\n",
    b"data: 0x10\n\n",
    b"data: {} \n\ndata: <html>RUBBISH</html>\n\n",
    b"data: " + b"x" * 5_000_000,
    b"data: x\n" * 700_000,
    b"RUBBISH" * 700_000,
]


@pytest.mark.parametrize(("provider", "answer_as"), WAYS)
@pytest.mark.parametrize("rubbish", RUBBISH, ids=range(len(RUBBISH)))
def test_rubbish_ends_the_answer_with_an_error(provider, answer_as, rubbish):
    body = b"".join(stream(provider, answer_as, [BEGUN[provider], rubbish, STREAMS[provider]]))
    assert is_error(answer_as, last_event(body))
    assert b"RUBBISH" not in body
    assert b"toolu_" not in body
    assert b"call_" not in body  # what came behind it is not there


ODD = {
    M: [
        message_event("content_block_delta", index=0),
        message_event("content_block_delta", index=0, delta=[1]),
        message_event("message_start", message="RUBBISH"),
        message_event("content_block_start", index=0, content_block=None),
        message_event("content_block_start", index=0, content_block={"type": "tool_use", "name": "x"}),
    ],
    C: [],
}
IGNORED = {
    M: [
        message_event("something_new", text="RUBBISH"),
        message_event(
            "content_block_delta", index=0, delta={"type": "citations_delta", "citation": "RUBBISH"}
        ),
        message_event("content_block_delta", index=0, delta={"type": "text_delta", "text": None}),
        message_event(
            "content_block_start", index=9, content_block={"type": "server_tool_use", "name": "RUBBISH"}
        ),
        b": RUBBISH\n\n",
    ],
    C: [
        b'data: {"choices": null}\n\n',
        b'data: {"choices": [null]}\n\n',
        b'data: {"choices": [{"delta": 7}]}\n\n',
        b'data: {"choices": [{"delta": {"content": {"a": "RUBBISH"}}}]}\n\n',
        b'data: {"choices": [{"delta": {"tool_calls": {"a": 1}}}]}\n\n',
        b'data: {"choices": [], "usage": {"prompt_tokens": -1, "completion_tokens": 1e300}}\n\n',
        b'data: {"choices": [], "usage": {"prompt_tokens": "7", "completion_tokens": 1.5}}\n\n',
        b'data: {"RUBBISH": {"error": {"message": "RUBBISH"}}}\n\n',
    ],
}


@pytest.mark.parametrize(
    ("provider", "answer_as", "odd"), [(one, other, odd) for one, other in WAYS for odd in ODD[one]]
)
def test_events_without_what_they_must_have_are_errors(provider, answer_as, odd):
    body = b"".join(stream(provider, answer_as, [odd, STREAMS[provider]]))
    assert is_error(answer_as, last_event(body))
    assert b"RUBBISH" not in body


@pytest.mark.parametrize(
    ("provider", "answer_as", "odd"), [(one, other, odd) for one, other in WAYS for odd in IGNORED[one]]
)
def test_what_no_caller_can_have_asked_for_is_left_out(provider, answer_as, odd):
    body = b"".join(stream(provider, answer_as, [BEGUN[provider], odd, STREAMS[provider]]))
    assert body.endswith(DONE) or not is_error(answer_as, last_event(body))
    assert b"RUBBISH" not in body


@pytest.mark.parametrize(("provider", "answer_as"), WAYS)
def test_a_stream_that_ends_early_ends_with_an_error(provider, answer_as):
    for said in (b"", BEGUN[provider]):
        body = b"".join(stream(provider, answer_as, [said]))
        assert is_error(answer_as, last_event(body))
        assert b"early" in body


@pytest.mark.parametrize("answer_as", [M, R])
def test_a_stream_without_its_last_mark_is_complete_if_it_said_why_it_ended(answer_as):
    body = b"".join(stream(C, answer_as, [CHAT_STREAM.removesuffix(DONE)]))
    assert body == b"".join(stream(C, answer_as, [CHAT_STREAM]))


STATUSES = [
    (400, openai.BadRequestError, anthropic.BadRequestError),
    (401, openai.AuthenticationError, anthropic.AuthenticationError),
    (403, openai.PermissionDeniedError, anthropic.PermissionDeniedError),
    (404, openai.NotFoundError, anthropic.NotFoundError),
    (413, openai.APIStatusError, anthropic.RequestTooLargeError),
    (429, openai.RateLimitError, anthropic.RateLimitError),
    (500, openai.InternalServerError, anthropic.InternalServerError),
    (529, openai.InternalServerError, anthropic.OverloadedError),
]
PAGES = [
    json.dumps({"error": {"message": "said so", "type": "x", "code": None}}).encode(),
    json.dumps({"type": "error", "error": {"type": "api_error", "message": "said so"}}).encode(),
    json.dumps({"object": "error", "message": "said so", "code": 400}).encode(),
    json.dumps({"detail": "said so"}).encode(),
    json.dumps({"error": "said so"}).encode(),
    b"<html><body>RUBBISH</body></html>",
    b'{"error": {"message": "RUBBISH',
    b"",
]


@pytest.mark.parametrize(("status", "of_openai", "of_anthropic"), STATUSES)
@pytest.mark.parametrize("page", PAGES, ids=range(len(PAGES)))
def test_an_error_of_a_provider_is_a_typed_error_of_the_callers_sdk(status, of_openai, of_anthropic, page):
    code, body, _ = whole(M, C, page, status=status)
    assert code == status
    with pytest.raises(of_openai) as told:
        openai_client(body, "application/json", code).chat.completions.create(model="m", messages=[])
    assert ("said so" in str(told.value)) == (b"said so" in page)
    assert "RUBBISH" not in str(told.value)
    code, body, _ = whole(C, M, page, status=status)
    assert code == status
    with pytest.raises(of_anthropic) as said:
        anthropic_client(body, "application/json", code).messages.create(model="m", max_tokens=1, messages=[])
    assert ("said so" in str(said.value)) == (b"said so" in page)
    assert "RUBBISH" not in str(said.value)


@pytest.mark.parametrize(
    ("page", "status"),
    [
        (b"<html>RUBBISH</html>", 502),
        (b'{"id": "x", "choices": [{"RUBBISH', 502),
        (b'{"id": "RUBBISH"}', 502),
        (b"[]", 502),
        (b"null", 502),
        (None, 502),
        (b"[" * 100_000, 502),
        (json.dumps({"error": {"message": "gone", "code": 404}}).encode(), 404),
        (json.dumps({"error": {"message": "slow down", "type": "rate_limit_error"}}).encode(), 429),
        (json.dumps({"error": {"message": "hm"}}).encode(), 500),
        (json.dumps({"type": "error", "error": {"type": "overloaded_error", "message": "x"}}).encode(), 529),
    ],
    ids=range(11),
)
@pytest.mark.parametrize(("provider", "answer_as"), WAYS)
@pytest.mark.parametrize("streamed", [True, False])
def test_a_200_that_is_no_answer_becomes_an_error(provider, answer_as, page, status, streamed):
    code, body, is_stream = whole(provider, answer_as, page, streamed=streamed)
    assert (code, is_stream) == (status, False)
    assert b"RUBBISH" not in body
    assert "error" in json.loads(body)


@pytest.mark.parametrize(
    "arguments",
    [
        "RUBBISH",
        '["RUBBISH"]',
        '{"RUBBISH": "a\nb"}',
        '{"RUBBISH": 0x10}',
        '{"RUBBISH": 01}',
        '{"RUBBISH": 1.}',
    ],
)
def test_arguments_that_are_no_json_object_are_an_error_where_they_must_be_one(arguments):
    message = {
        "role": "assistant",
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}],
    }
    answer = {**CHAT, "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}]}
    code, body, _ = whole(C, M, json.dumps(answer).encode())
    assert code == 502
    assert b"RUBBISH" not in body


def test_a_redirect_is_an_error():
    assert whole(M, C, b"", status=302).status == 502


@pytest.mark.parametrize("answer_as", [M, R])
def test_arguments_without_end_are_bounded(answer_as):
    piece = chat_chunk(call_delta(0, "x" * 1_000_000, id="c", name="f"))
    more = chat_chunk(call_delta(0, "x" * 1_000_000))
    body = b"".join(stream(C, answer_as, [piece, *[more] * 40]))
    assert is_error(answer_as, last_event(body))


CALL = b'{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}}]}'
TOKENS = [
    *(
        b"data:",
        b"data: ",
        b"\n",
        b"\n\n",
        b"\r\n",
        b"event: x",
        b":",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b'"',
        b"\\",
    ),
    *(b"\\u12", b"null", b"1e9", b'"choices"', b'"delta"', b'"type"', b'"error"', b'"content_block_delta"'),
    *(b"[DONE]", b'"index":', b'"usage":', CALL, b"\xf0\x9f", b"\xff"),
]


@pytest.mark.parametrize(("provider", "answer_as"), WAYS)
@settings(max_examples=60)
@given(pieces=st.lists(st.sampled_from(TOKENS) | st.binary(max_size=6), max_size=30))
@example(pieces=[])
def test_whatever_comes_the_answer_has_an_end_of_the_callers_api(provider, answer_as, pieces):
    body = b"".join(stream(provider, answer_as, pieces))
    event = body.rstrip(b"\n").split(b"\n")[-1]
    if event == b"data: [DONE]":
        return
    last = last_event(body)
    assert is_error(answer_as, last) or last["type"] in (
        "message_stop",
        "response.completed",
        "response.incomplete",
    )


@pytest.mark.parametrize(("provider", "answer_as"), WAYS)
@settings(max_examples=60)
@given(data=st.data())
def test_an_answer_with_anything_in_any_place_is_translated_or_an_error(provider, answer_as, data):
    answer = json.loads(json.dumps(MESSAGE if provider is M else CHAT))
    holder = answer
    while True:
        key = data.draw(st.sampled_from(list(holder) if isinstance(holder, dict) else range(len(holder))))
        if isinstance(holder[key], dict | list) and holder[key] and data.draw(st.booleans()):
            holder = holder[key]
            continue
        holder[key] = data.draw(
            st.none() | st.integers() | st.text(max_size=5) | st.just([1]) | st.just({"a": 1})
        )
        break
    code, body, _ = whole(provider, answer_as, json.dumps(answer).encode())
    written = json.loads(body)
    assert code == 200 or "error" in written


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(max_examples=100)
@given(value=json_values, ascii_only=st.booleans(), indent=st.none() | st.integers(0, 2))
def test_arguments_reach_a_message_as_the_model_wrote_them(value, ascii_only, indent):
    arguments = json.dumps({"a": value}, ensure_ascii=ascii_only, indent=indent)
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    message = {"role": "assistant", "tool_calls": [call]}
    answer = {**CHAT, "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}]}
    code, body, _ = whole(C, M, json.dumps(answer).encode())
    assert code == 200
    assert json.loads(body)["content"][0]["input"] == {"a": value}


@pytest.mark.parametrize("status", sorted(set(STREAM_ERROR_STATUSES.values())))
@pytest.mark.parametrize(("provider", "answer_as"), [(M, C), (M, R), (C, R), (C, M)])
def test_an_error_that_a_stream_begins_with_still_tells_its_status_when_translated(
    provider, answer_as, status
):
    kind = next(name for name, code in STREAM_ERROR_STATUSES.items() if code == status)
    error = {"type": kind, "message": "no"}
    event = b"event: error\ndata: " + json.dumps({"type": "error", "error": error}).encode() + b"\n\n"
    sent = b"".join(stream(provider, answer_as, [event]))
    told = json.loads(sent.partition(b"data: ")[2])
    told = told.get("error") or told
    known = [STREAM_ERROR_STATUSES.get(told.get(name)) for name in ("code", "type")]
    assert {code for code in known if code} == {status}
