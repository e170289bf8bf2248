"""Answers written to cost Envoy time or memory: a worker that is away serves nobody."""

import json
import time

import pytest
from lua_answers import stream, whole
from provider_answers import CHAT, call_delta, chat_chunk, message_event, message_start

from pilotage_extproc.domain.head import CallKind

C, M, R = CallKind.CHAT, CallKind.MESSAGES, CallKind.RESPONSES
LONG = "m" * 1_000_000
SECONDS_OF_WORK = 15


def in_time(work):
    """Of the processor's time; without bounds each of these takes minutes."""
    began = time.process_time()
    made = work()
    assert time.process_time() - began < SECONDS_OF_WORK
    return made


@pytest.mark.parametrize("value", [b"1,", b"[],", b'"",', b"{},"])
def test_an_answer_of_more_values_than_any_has_is_none(value):
    begins = json.dumps(CHAT).encode().removesuffix(b"}") + b',"more":['
    assert whole(C, M, begins + value * 1000 + b"1]}").status == 200
    assert whole(C, M, begins + value * 600_000 + b"1]}").status == 502


def test_an_answer_that_ends_within_a_list_is_read_once():
    listed = b'{"choices":[' + b"[1," * 50
    assert whole(C, M, listed + b"1," * 400_000).status == 502


@pytest.mark.parametrize("answer_as", [M, R])
def test_a_long_model_name_is_not_repeated_with_each_piece(answer_as):
    begins = chat_chunk({"role": "assistant", "content": "hello"}).replace(b'"model"', b'"x"', 1)
    begins = begins.replace(b'"id"', b'"model":"' + LONG.encode() + b'","id"', 1)
    sent = in_time(lambda: stream(C, answer_as, [begins + chat_chunk({"content": "a"}) * 1000]))
    assert sum(map(len, sent)) < len(LONG)


def test_a_long_model_name_is_not_repeated_with_each_piece_of_a_chat():
    begins = (
        message_start()
        .replace(b'"model"', b'"x"', 1)
        .replace(b'"id"', b'"model":"' + LONG.encode() + b'","id"', 1)
    )
    begins += message_event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    piece = message_event("content_block_delta", index=0, delta={"type": "text_delta", "text": "a"})
    sent = in_time(lambda: stream(M, C, [begins + piece * 1000]))
    assert sum(map(len, sent)) < len(LONG)


@pytest.mark.parametrize("answer_as", [M, R])
def test_calls_with_long_names_without_end_are_bounded(answer_as):
    name = "n" * 1000
    pieces = [chat_chunk(call_delta(at, "", id=name, name=name)) for at in range(20_000)]
    sent = stream(C, answer_as, pieces)
    assert b"could not be translated" in b"".join(sent)


@pytest.mark.parametrize("answer_as", [M, R])
def test_a_call_that_waits_is_not_looked_at_again_with_each_piece(answer_as):
    first = chat_chunk(call_delta(0, "[" * 2_000_000 + "}", id="a", name="f"))
    rest = [chat_chunk(call_delta(1, "x", id="b", name="g")) for _ in range(3000)]
    in_time(lambda: stream(C, answer_as, [first, b"".join(rest)]))


@pytest.mark.parametrize("answer_as", [M, R])
def test_a_call_that_grows_while_another_waits_is_looked_at_a_bounded_number_of_times(answer_as):
    first = chat_chunk(call_delta(0, '{"a":"' + "x" * 2_000_000, id="a", name="f"))
    second = chat_chunk(call_delta(1, "x", id="b", name="g"))
    rest = [chat_chunk(call_delta(0, "}")) for _ in range(3000)]
    in_time(lambda: stream(C, answer_as, [first, second, b"".join(rest)]))


def test_calls_that_wait_go_on_as_soon_as_the_one_before_is_complete():
    deltas = [
        call_delta(0, '{"a":', id="a", name="f"),
        call_delta(1, '{"b":2}', id="b", name="g"),
        call_delta(0, "1}"),
    ]
    sent = stream(C, M, [chat_chunk(delta) for delta in deltas], ended=False)
    assert json.dumps('{"b":2}').encode() in sent[2]
