"""Answers that are not as their API has them: nothing breaks, and nothing that is blocked gets out."""

from typing import Any

import orjson
import pytest
from answering import rules, through, work
from effort import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pilotage_extproc.domain.head import CallKind

SECRET = "AKIAIOSFODNN7EXAMPLE"
EMAIL = "alice@mail.example"
BLOCK = rules("block", ["secret"])
REDACT = rules("redact", ["secret", "email"])
PASS = rules("redact", ["secret", "email"], refuses=False)
NAMES = (
    "choices", "delta", "message", "content", "text", "index", "finish_reason", "logprobs", "tool_calls",
    "function", "arguments", "type", "output_index", "content_index", "response", "output", "part", "item",
    "instructions", "content_block", "partial_json", "usage", "id", "error", "sequence_number",
)  # fmt: skip
TYPES = (
    "response.output_text.delta", "response.output_text.done", "response.completed", "response.created",
    "response.function_call_arguments.delta", "content_block_start", "content_block_delta",
    "content_block_stop", "message_stop", "stop",
)  # fmt: skip
texts = st.sampled_from(
    (*TYPES, SECRET, f"of {EMAIL} so", f'{{"k": "{SECRET}"}}', "", " ", "hello ", "é", 'a"\\')
)
leaves = st.none() | st.booleans() | st.integers(-2, 3) | st.floats(-1, 1) | texts
members = st.recursive(
    leaves,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(NAMES), below, max_size=5),
    max_leaves=12,
)


def chat_like(value: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": value}}]}


def message_like(value: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"text": value}}


def response_like(value: Any) -> dict[str, Any]:
    return {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": value}


events = members | members.map(chat_like) | members.map(message_like) | members.map(response_like)
kinds = st.sampled_from([CallKind.CHAT, CallKind.COMPLETIONS, CallKind.MESSAGES, CallKind.RESPONSES])


@settings(max_examples=examples(600))
@example([{"choices": None, "id": SECRET}], CallKind.CHAT, 1)
@given(st.lists(events, max_size=5), kinds, st.integers(1, 60))
def test_no_stream_breaks_the_check_and_no_blocked_value_gets_out(
    given_events: list[Any], kind: CallKind, size: int
) -> None:
    stream = b"".join(b"data: %b\n\n" % orjson.dumps(one) for one in given_events)
    chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert SECRET.encode() not in through(chunks, work(BLOCK, kind))
    got = through(chunks, work(REDACT, kind, {"[EMAIL_k3v4x2abq7]": "x"}))
    assert SECRET.encode() not in got
    for line in got.split(b"\n\n"):
        if line.startswith(b"data: {"):
            orjson.loads(line[6:])


@settings(max_examples=examples(600))
@given(events, kinds, st.sampled_from([200, 400]))
def test_no_whole_answer_breaks_the_check_and_no_blocked_value_gets_out(
    answer: Any, kind: CallKind, status: int
) -> None:
    body = orjson.dumps(answer)
    assert SECRET.encode() not in through([body], work(BLOCK, kind), stream=False, status=status)
    got = through([body], work(REDACT, kind), stream=False, status=status)
    assert SECRET.encode() not in got
    orjson.loads(got)


@settings(max_examples=examples(300))
@given(st.lists(events, max_size=4), kinds)
def test_without_values_everything_arrives(given_events: list[Any], kind: CallKind) -> None:
    clean = orjson.loads(orjson.dumps(given_events).replace(b"AKIA", b"akia").replace(b"@", b" at "))
    stream = b"".join(b"data: %b\n\n" % orjson.dumps(one) for one in clean)
    got = through([stream], work(PASS, kind))
    assert got.count(b"hello") == stream.count(b"hello") or b"logprobs" in stream


@pytest.mark.parametrize("kind", [CallKind.CHAT, CallKind.RESPONSES])
def test_many_texts_are_bounded(kind: CallKind) -> None:
    made: list[Any] = [{"choices": [{"index": one, "delta": {"content": "x "}}]} for one in range(2000)]
    if kind is CallKind.RESPONSES:
        made = [{**response_like("x "), "output_index": one} for one in range(2000)]
    stream = b"".join(b"data: %b\n\n" % orjson.dumps(one) for one in made)
    assert through([stream], work(BLOCK, kind)).count(b'"x ') <= 1100
