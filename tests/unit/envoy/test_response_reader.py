"""Token usage out of responses that pass through ext_proc."""

import itertools
import json
from pathlib import Path

import pytest
from dearer_tokens import DEARER
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_extproc.domain.outcome import TokenUsage
from pilotage_extproc.envoy.ext_proc.usage_reader import ResponseReader

CAPTURES = Path(__file__).parents[2] / "fixtures" / "vllm-0.32"

STREAM_ERRORS = json.loads((CAPTURES.parent / "stream-errors.json").read_text())
EXPECTED = {
    "chat.sse": (TokenUsage(339, 8, None), None),
    "completions_lora_continuous_usage.sse": (TokenUsage(2, 4, None), None),
    "messages.sse": (TokenUsage(11, 8, None), None),
    "responses.sse": (TokenUsage(11, 8, 0, 0, 0), "resp_8b3668a4059fa6de"),
}


def read(chunks: list[bytes], *, event_stream: bool) -> ResponseReader:
    reader = ResponseReader(event_stream=event_stream)
    for chunk in chunks:
        reader.feed(chunk)
    reader.close()
    return reader


@pytest.mark.parametrize("name", sorted(EXPECTED))
@given(data=st.data())
@settings(max_examples=examples(25), deadline=None)
def test_usage_is_read_however_the_stream_is_cut(name: str, data: st.DataObject) -> None:
    body = (CAPTURES / name).read_bytes()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=30)))
    edges = [0, *cuts, len(body)]
    reader = read([body[a:b] for a, b in itertools.pairwise(edges)], event_stream=True)
    assert (reader.usage, reader.response_id) == EXPECTED[name]


def test_a_stream_cut_one_byte_at_a_time_still_tells_its_usage() -> None:
    body = (CAPTURES / "chat.sse").read_bytes()
    reader = read([body[i : i + 1] for i in range(len(body))], event_stream=True)
    assert reader.usage == TokenUsage(339, 8, None)


@pytest.mark.parametrize(
    ("name", "usage"),
    [
        ("completion.json", TokenUsage(331, 16, None)),
        ("messages.json", TokenUsage(11, 8, None)),
        ("responses.json", TokenUsage(11, 8, 0, 0, 0)),
    ],
)
def test_usage_of_an_unstreamed_answer(name: str, usage: TokenUsage) -> None:
    body = (CAPTURES / name).read_bytes()
    assert read([body[:100], body[100:]], event_stream=False).usage == usage


def test_an_unstreamed_responses_answer_tells_its_id() -> None:
    body = (CAPTURES / "responses.json").read_bytes()
    assert read([body], event_stream=False).response_id == "resp_9815f523a0867d2e"


def test_missing_usage_is_unknown_and_never_zero() -> None:
    reader = read([b'data: {"choices":[]}\n\ndata: [DONE]\n\n'], event_stream=True)
    assert reader.usage == TokenUsage(None, None, None)


def test_cached_tokens_are_read_from_openai_and_anthropic_answers() -> None:
    details = b'"prompt_tokens_details":{"cached_tokens":8}'
    openai = b'{"usage":{"prompt_tokens":9,"completion_tokens":2,%b}}' % details
    anthropic = b'{"usage":{"input_tokens":1,"output_tokens":2,"cache_read_input_tokens":8}}'
    for body in (openai, anthropic):
        assert read([body], event_stream=False).usage == TokenUsage(9, 2, 8)


def test_tokens_that_anthropic_counts_apart_belong_to_the_input_whatever_later_events_say() -> None:
    started = b'{"message":{"usage":{"input_tokens":3100,"output_tokens":1,%b}}}'
    cached = b'"cache_read_input_tokens":9050,"cache_creation_input_tokens":20'
    ended = b'{"usage":{"output_tokens":7}}'
    said = b"".join(b"data: %b\n\n" % event for event in (started % cached, ended))
    assert read([said], event_stream=True).usage == TokenUsage(3100 + 9050 + 20, 7, 9050, 20)


def test_a_line_without_end_is_not_held_for_ever() -> None:
    reader = ResponseReader(event_stream=True)
    for _ in range(40):
        reader.feed(b"data: " + b"x" * 100_000)
    assert len(reader._held) <= 1 << 20
    reader.feed(b'\ndata: {"usage":{"prompt_tokens":1,"completion_tokens":2}}\n')
    assert reader.usage == TokenUsage(1, 2, None)


@given(st.lists(st.binary(max_size=200), max_size=20), st.booleans())
def test_no_body_makes_the_reader_fail(chunks: list[bytes], event_stream: bool) -> None:
    read(chunks, event_stream=event_stream)


@pytest.mark.parametrize("name", STREAM_ERRORS)
def test_an_error_event_in_a_stream_tells_its_status(name: str) -> None:
    said, status = STREAM_ERRORS[name]["stream"].encode(), STREAM_ERRORS[name]["status"]
    assert read([said], event_stream=True).stream_error == status
    assert read([said[i : i + 1] for i in range(len(said))], event_stream=True).stream_error == status


def test_an_unstreamed_answer_has_a_status_of_its_own() -> None:
    assert read([b'{"error":{"code":500}}'], event_stream=False).stream_error is None


def test_how_long_a_cut_anthropic_stream_was_is_unknown() -> None:
    body = (CAPTURES / "messages.sse").read_bytes()
    start = body[: body.index(b"\n\n") + 2]
    assert read([start.replace(b'"output_tokens":0', b'"output_tokens":1')], event_stream=True).usage == (
        TokenUsage(11, None, None)
    )


@pytest.mark.parametrize(("said", "expected"), DEARER)
def test_tokens_with_prices_of_their_own_are_told_apart(said, expected) -> None:
    assert read([said], event_stream=False).usage == expected
    assert read([b"data: " + said + b"\n\n"], event_stream=True).usage == expected


def test_cache_writes_and_reasoning_are_read_where_they_are_told() -> None:
    anthropic = b'{"usage":{"input_tokens":9,"output_tokens":4,"cache_creation_input_tokens":5}}'
    chat = (
        b'{"usage":{"prompt_tokens":9,"completion_tokens":4,'
        b'"completion_tokens_details":{"reasoning_tokens":3}}}'
    )
    assert read([anthropic], event_stream=False).usage == TokenUsage(14, 4, None, 5, None)
    written = b'{"usage":{"prompt_tokens":9,"prompt_tokens_details":{"cache_write_tokens":6}}}'
    assert read([chat], event_stream=False).usage == TokenUsage(9, 4, None, None, 3)
    assert read([written], event_stream=False).usage == TokenUsage(9, None, None, 6)
