"""Answers are held until their first content, and an error before it becomes the answer's status."""

import json
from pathlib import Path

import pytest
import wasmtime
from held_answers import WAT, HeldAnswers
from hypothesis import given
from hypothesis import strategies as st

from pilotage_extproc.envoy.contract import STREAM_ERROR_STATUSES
from pilotage_extproc.envoy.xds.header_hold import header_hold_module

FIXTURES = Path(__file__).parents[2] / "fixtures"
ROLE = b'data: {"id":"a","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
SPACED = ROLE.replace(b'":', b'": ')
NULL = ROLE.replace(b'""', b"null")
CHAT = b'data: {"id":"a","choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
THINKS = b'data: {"id":"a","choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}\n\n'
CALLS = b'data: {"choices":[{"delta":{"role":"assistant","tool_calls":[{"index":0}]}}]}\n\n'
CREATED = b'event: response.created\ndata: {"type":"response.created","response":{"error":null}}\n\n'
DELTA = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"hi"}\n\n'
BEGAN = b'event: message_start\ndata: {"type":"message_start","message":{}}\n\nevent: ping\ndata: {}\n\n'
BLOCK = b'event: content_block_start\ndata: {"type":"content_block_start"}\n\n'
TEXT = b'event: content_block_delta\ndata: {"delta":{"type":"text_delta","text":"hi"}}\n\n'
COMMENT = b": waiting\n\n"


@pytest.fixture(scope="module")
def held() -> HeldAnswers:
    return HeldAnswers()


def first_line(event: bytes) -> int:
    return event.index(b"\n") + 1


@pytest.mark.parametrize(
    ("before", "content"),
    [
        (b"", CHAT),
        (ROLE, CHAT),
        (SPACED, CHAT),
        (NULL, THINKS),
        (ROLE, b"data: [DONE]\n\n"),
        (COMMENT * 5 + ROLE, CALLS),
        (b"id: 1\nretry: 5\n" + CREATED, DELTA),
        (BEGAN + BLOCK, TEXT),
        (CREATED.replace(b"\n", b"\r\n"), DELTA.replace(b"\n", b"\r\n")),
        (b"", b"event: anything.else\ndata: {}\n\n"),
        (b"", b'data:{"choices":[]}\n\n'),
    ],
)
def test_a_stream_is_let_go_with_the_line_that_has_content_wherever_it_is_cut(held, before, content):
    said = before + content
    expected = len(before) + first_line(content)
    for size in (1, 7, len(said)):
        pieces = [said[at : at + size] for at in range(0, len(said), size)]
        let_go, status = held.answer(pieces)
        assert status is None
        assert let_go == min(len(said), -(-expected // size) * size)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b'data: {"error":{"message":"out of memory","type":"InternalServerError","code":500}}\n\n', 500),
        (b'data: {"error": {"message": "x"}}\n\n', 500),
        (b'data: {"object":"error","message":"too long","type":"BadRequestError","code":400}\n\n', 400),
        (b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"}}\n\n', 529),
        (b'data: {"error":{"code":"503","message":"x"}}\n\n', 503),
        (b'data: {"error": {"code": 429}}\n\n', 429),
        (b'data: {"error":{"code":4040,"type":"overloaded_error"}}\n\n', 529),
        (b'data: {"error":{"code":200}}\n\n', 500),
        (b'data: {"error":{"code":"context_length_exceeded","type":"invalid_request_error"}}\n\n', 400),
        (b'event: response.failed\ndata: {"type":"response.failed"}\n\n', 500),
        (b'data: {"type":"response.failed"}\n\n', 500),
        (b'{"error":{"message":"x","code":null}}', 500),
        (b'{"error": {"message":"x","type":"rate_limit_error"}}', 429),
        (b'{ "error" : { "code" : 404, "message":"x"}}', 404),
    ],
)
@pytest.mark.parametrize("before", [b"", COMMENT, ROLE, CREATED])
def test_an_error_before_any_content_becomes_the_status(held, before, said, status):
    stream = said if not said.startswith(b"{") else b"data: " + said + b"\n\n"
    assert held.answer([before, stream] if before else [said])[1] == status


def test_the_statuses_are_those_of_later_error_events(held):
    for name, status in STREAM_ERROR_STATUSES.items():
        said = json.dumps({"error": {"type": name}}, separators=(",", ":")).encode()
        assert held.answer([b"data: " + said + b"\n\n"])[1] == status


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
def test_an_answer_that_is_an_error_keeps_its_status_and_goes_on_with_its_first_bytes(held, status):
    assert held.answer([b"d", b'ata: {"error":{"message":"x"}}\n\n'], status) == (1, None)
    assert held.answer([b'{"error":{}}'], status) == (12, None)


def test_an_error_after_content_changes_nothing(held):
    assert held.answer([CHAT, b'data: {"error":{"message":"x"}}\n\n'])[1] is None


@pytest.mark.parametrize("name", ["content", "instructions", "x"])
def test_text_of_a_prompt_or_an_answer_cannot_pass_for_an_error(held, name):
    lies = '{"error":{"type":"overloaded_error"}} \ndata: {"error":{}}\n\nevent: error\n'
    said = b"data: " + json.dumps({"id": "a", name: lies}).encode() + b"\n\n"
    assert held.answer([said, CHAT])[1] is None
    created = b"event: response.created\n" + said
    assert held.answer([created, DELTA])[1] is None


JSON = b"application/json; charset=utf-8"
WHOLE = b'{"id":"chatcmpl-1","choices":[{"message":{"content":"{ \\" hi"}}]}'


@pytest.mark.parametrize("end", [b"", b"\n", b" \r\n\t"])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_object_is_held_to_its_end(held, size, end):
    said = WHOLE + end
    pieces = [said[at : at + size] for at in range(0, len(said), size)]
    assert held.answer(pieces, content_type=JSON) == (len(said), None)


def test_an_object_that_ends_before_it_is_closed_is_a_failed_attempt(held):
    for size in range(1, len(WHOLE)):
        cut = WHOLE[:size]
        closed = cut.endswith(b"}")
        assert held.answer([cut[:1], cut[1:]], content_type=JSON)[1] == (None if closed else 502), cut
    assert held.answer([WHOLE[:-1]], 500, JSON) == (len(WHOLE) - 1, None)


def test_an_object_of_more_than_16_kib_is_let_go_as_it_comes(held):
    long = b'{"data":"' + b"x" * 20_000
    assert held.answer([long[:9000], long[9000:18000], long[18000:]], content_type=JSON) == (18000, None)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b'{\n    "error": {\n        "message": "x",\n        "code": "429"\n    }\n}\n', 429),
        (b'{"type":"error","error":{"type":"overloaded_error"}}', 529),
        (b'{"object":"error","message":"x","code":400}', 400),
        (b'{"error" :\t{}}', 500),
        (b'{"error": null}', None),
        (b'{"errors": {}}', None),
        (b'{"error', 502),
        (b'{"error":', 502),
    ],
)
def test_an_object_that_is_an_error_becomes_its_status_however_it_is_spaced(held, said, status):
    for size in (1, 5, len(said)):
        pieces = [said[at : at + size] for at in range(0, len(said), size)]
        assert held.answer(pieces, content_type=JSON)[1] == status


EVENTS = b"text/event-stream; charset=utf-8"


@pytest.mark.parametrize("said", [b"", COMMENT, ROLE, BEGAN + BLOCK, CREATED, ROLE + b'data: {"choices":['])
def test_a_stream_that_ends_before_any_content_is_a_failed_attempt(held, said):
    for size in (1, max(1, len(said))):
        pieces = [said[at : at + size] for at in range(0, len(said), size)] or [b""]
        assert held.answer(pieces, content_type=EVENTS) == (len(said), 502)
    assert held.answer([said], 500, EVENTS)[1] is None
    assert held.answer([said or COMMENT])[1] is None, "what does not call itself a stream of events"


def test_a_stream_that_is_nothing_but_headers_is_one_too(held):
    assert held.answered_without_body(200, EVENTS) == 502
    assert held.answered_without_body(503, EVENTS) is None


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b""])
def test_only_streams_that_were_asked_for_by_post_have_to_have_content(method):
    held = HeldAnswers()
    held.method = method
    assert held.answered_without_body(200, EVENTS) is None
    assert held.answer([COMMENT], content_type=EVENTS) == (len(COMMENT), None)
    assert held.answer([b""], content_type=EVENTS)[1] is None


@pytest.mark.parametrize("content", [CHAT, THINKS, CALLS, TEXT, DELTA, b"data: [DONE]\n\n"])
def test_a_stream_with_any_content_is_none(held, content):
    for said in ([content], [ROLE, content], [ROLE + content, b""]):
        assert held.answer(said, content_type=EVENTS)[1] is None


@pytest.mark.parametrize(("method", "status"), [(b"POST", 502), (b"GET", None), (b"DELETE", None)])
def test_an_answer_of_json_to_a_post_that_is_empty_is_a_failed_attempt(held, method, status):
    held.method = method
    assert held.answered_without_body(200, JSON) == status
    assert held.answer([b""], content_type=JSON)[1] == status
    assert held.answered_without_body(200, b"text/plain") is None
    assert held.answered_without_body(503, JSON) is None
    held.method = b"POST"


def test_an_object_whose_error_is_a_text_is_one_and_an_event_is_not(held):
    assert held.answer([b'{"error":"out of memory"}'], content_type=JSON)[1] == 500
    assert held.answer([b'{ "error" : "overloaded", "code" : 503 }'], content_type=JSON)[1] == 503
    assert held.answer([b'data: {"error":"out of memory"}\n\n'])[1] is None


@pytest.mark.parametrize("said", [b'{"error":""}', b'{"error":null,"choices":[]}', b'{"error":0}'])
def test_an_object_whose_error_says_nothing_is_none(held, said):
    assert held.answer([said], content_type=JSON)[1] is None


def test_a_list_and_what_is_compressed_pass(held):
    for said in (b"[1, 2", b"\x1f\x8b\x08" + bytes(40), b'"text"'):
        assert held.answer([said], content_type=JSON)[1] is None


@given(
    st.lists(st.binary(max_size=40) | st.sampled_from([b"{", b"}", b'"error"', b":"]), min_size=1, max_size=8)
)
def test_whatever_is_called_json_is_let_go_at_its_end_at_the_latest(held, pieces):
    assert held.answer(pieces, content_type=JSON)[1] in {None, 502, 500, *STREAM_ERROR_STATUSES.values()}


@pytest.mark.parametrize("said", [b"x", b"\x00\xff" * 10, b'{"id":"chatcmpl-1","choices":[]}', b"<html>"])
def test_an_answer_without_events_is_let_go_at_once(held, said):
    pieces = [said, b"\n", b"more"]
    assert held.answer(pieces)[0] <= len(said) + 1


def test_what_never_has_content_is_let_go_at_16_kib_or_at_its_end(held):
    assert held.answer([COMMENT] * 3000)[0] <= 16384 + len(COMMENT)
    assert held.answer([COMMENT] * 3)[0] == 3 * len(COMMENT)
    assert held.answer([b"data: " + b"x" * 20_000, b"\n\n"])[0] == 20_006


@given(
    st.lists(
        st.binary(max_size=300) | st.sampled_from([COMMENT, ROLE, CHAT, CREATED, b"\n", b"data:"]),
        min_size=1,
        max_size=12,
    )
)
def test_whatever_a_server_sends_the_answer_is_let_go_and_has_a_status(held, pieces):
    _, status = held.answer(pieces)
    assert status is None or status in {500, *STREAM_ERROR_STATUSES.values()}


def test_streams_of_a_real_vllm_are_not_taken_for_errors(held):
    for path in sorted(FIXTURES.rglob("*.sse")):
        assert held.answer([path.read_bytes()])[1] is None, path


def test_the_module_is_what_its_text_says():
    assert header_hold_module() == bytes(wasmtime.wat2wasm(WAT.read_text()))
