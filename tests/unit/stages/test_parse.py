"""Parsing: what is read of a body, and how a body that cannot be used is refused."""

import orjson
import pytest

from pilotage_extproc.dialects.document import Document
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.stages.parse import MAX_MODEL_LENGTH, parse_body

CHAT = b'{"model":"m","messages":[{"role":"user","content":"hi"}]'


def parse(body: bytes, kind: CallKind = CallKind.CHAT) -> Document:
    return parse_body(kind, body, max_structure=262_144)


def refusal(body: bytes, kind: CallKind = CallKind.CHAT) -> RequestRefused:
    with pytest.raises(RequestRefused) as refused:
        parse(body, kind)
    return refused.value


def test_what_routing_needs_is_read_out_of_a_body():
    body = CHAT + b',"stream":true,"stream_options":{"include_usage":false}}'
    assert parse(body) == Document("m", True, orjson.loads(body), {"include_usage": False}, True, None)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "is empty"),
        (b'{"model":"m","messages":[{"role":"us', "unexpected end"),
        (b"{'model': 1}", "line 1, column 2"),
        (b'{"model":"m",\n"messages":[1],}', "line 2"),
        (CHAT + b"} trailing", "after document"),
        (CHAT + b',"x":NaN}', "not valid JSON"),
        (CHAT + b',"x":1e999}', "infinity"),
        (CHAT + b',"x":"\xff"}', "not valid UTF-8"),
        (CHAT + b',"x":"\xed\xa0\x80"}', "not valid UTF-8"),
        (CHAT + b',"x":"\\ud800"}', "surrogate"),
        (b"\xef\xbb\xbf" + CHAT + b"}", "BOM"),
        (CHAT.decode().encode("utf-16") + b"}", "not valid"),
        (b"[" * 100_000, "depth limit"),
        (b'{"model":"m","messages":' + b"[" * 2000 + b"]" * 2000 + b"}", "depth limit"),
        (b"null", "must be a JSON object"),
        (b"[1,2]", "must be a JSON object"),
    ],
)
def test_a_body_that_is_no_json_object_says_where_and_quotes_nothing(body, told):
    refused = refusal(body)
    assert refused.reason is Refusal.BAD_JSON
    assert told in refused.message
    assert "user" not in refused.message


@pytest.mark.parametrize("model", [b"null", b'""', b"7", b'["m"]', b"{}", b"true"])
def test_a_model_that_is_no_name_is_refused(model):
    refused = refusal(b'{"messages":[1],"model":' + model + b"}")
    assert (refused.reason, refused.param) == (Refusal.MISSING_MODEL, "model")


def test_the_length_of_a_model_name_is_bounded():
    assert parse(orjson.dumps({"model": "m" * MAX_MODEL_LENGTH, "messages": [1]})).model
    refused = refusal(orjson.dumps({"model": "m" * (MAX_MODEL_LENGTH + 1), "messages": [1]}))
    assert (refused.reason, refused.param) == (Refusal.INVALID_FIELD, "model")


@pytest.mark.parametrize("stream", ['"true"', "1", "[]", "{}"])
def test_a_stream_that_is_neither_true_nor_false_is_refused(stream):
    refused = refusal(CHAT + f',"stream":{stream}}}'.encode())
    assert (refused.reason, refused.param) == (Refusal.INVALID_FIELD, "stream")


def test_a_stream_of_null_is_no_stream():
    assert parse(CHAT + b',"stream":null}').stream is False


@pytest.mark.parametrize(
    ("kind", "members", "missing"),
    [
        (CallKind.CHAT, {}, "messages"),
        (CallKind.CHAT, {"messages": []}, "messages"),
        (CallKind.CHAT, {"prompt": "hi"}, "messages"),
        (CallKind.MESSAGES, {}, "messages"),
        (CallKind.COMPLETIONS, {"messages": [1]}, "prompt"),
        (CallKind.COMPLETIONS, {"prompt": None}, "prompt"),
        (CallKind.EMBEDDINGS, {}, "input"),
        (CallKind.RESPONSES, {}, "input"),
        (CallKind.CHAT, {"messages": [1]}, None),
        (CallKind.MESSAGES, {"messages": [1]}, None),
        (CallKind.COMPLETIONS, {"prompt": ""}, None),
        (CallKind.COMPLETIONS, {"prompt": [1, 2]}, None),
        (CallKind.COMPLETIONS, {"prompt_embeds": "x"}, None),
        (CallKind.EMBEDDINGS, {"input": ["a"]}, None),
        (CallKind.EMBEDDINGS, {"messages": [1]}, None),
        (CallKind.RESPONSES, {"input": "hi"}, None),
        (CallKind.RESPONSES, {"prompt": {"id": "p"}}, None),
    ],
)
def test_each_kind_of_call_needs_its_own_prompt(kind, members, missing):
    body = orjson.dumps({"model": "m", **members})
    if missing is None:
        assert parse(body, kind).model == "m"
    else:
        refused = refusal(body, kind)
        assert (refused.reason, refused.param) == (Refusal.MISSING_PROMPT, missing)


def test_messages_must_be_a_list():
    refused = refusal(b'{"model":"m","messages":"hi"}')
    assert (refused.reason, refused.param) == (Refusal.INVALID_FIELD, "messages")


def test_a_previous_response_is_read_of_responses_calls_alone():
    body = b'{"model":"m","input":"hi","messages":[1],"previous_response_id":"resp_1"}'
    assert parse(body, CallKind.RESPONSES).previous_response_id == "resp_1"
    assert parse(body, CallKind.CHAT).previous_response_id is None
    refused = refusal(b'{"model":"m","input":"hi","previous_response_id":7}', CallKind.RESPONSES)
    assert (refused.reason, refused.param) == (Refusal.INVALID_FIELD, "previous_response_id")


def test_every_refusal_is_an_openai_error_object():
    for reason in Refusal:
        error = orjson.loads(RequestRefused(reason, "why", "field").body())["error"]
        assert error == {"message": "why", "type": reason.value[1], "param": "field", "code": reason.code}
        assert 400 <= reason.http_status < 600
