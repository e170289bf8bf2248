"""Responses of other gateways, followed over a fake stream: passed through, read, and settled once."""

import asyncio
import tracemalloc

import pytest
from fake_stream import (
    FakeStream,
    Request,
    request_body,
    request_head,
    response_body,
    response_head,
)
from stream_rig import ADDRESSES, FOREIGN, StreamRig, stream_rig

from pilotage_extproc.envoy.ext_proc.messages import BodyMode

CHAT = "/v1/chat/completions"
PROMPT = b'{"model":"small","messages":[{"role":"user","content":"hi"}]}'
USAGE = b'{"usage":{"prompt_tokens":7,"completion_tokens":3}}'
EVENTS = [
    b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n',
    b'data: {"choices":[],"usage":{"prompt_tok',
    b'ens":7,"completion_tokens":3}}\n\n',
    b"data: [DONE]\n\n",
]
DUPLEX = BodyMode.FULL_DUPLEX_STREAMED
STREAM = "text/event-stream"


@pytest.fixture
async def rig() -> StreamRig:
    return await stream_rig()


def asked(response: BodyMode, path: str = CHAT, body: bytes = PROMPT) -> tuple[Request, ...]:
    """A request of a gateway that sends its response in this mode."""
    request = DUPLEX if response is DUPLEX else BodyMode.BUFFERED
    return request_head(path, modes=(request, response)), request_body(body)


def response_answers(stream: FakeStream) -> list:
    return [message for message in stream.got if message.WhichOneof("response").startswith("response_")]


async def test_a_buffered_response_is_left_alone_and_its_usage_read(rig):
    stream = FakeStream(
        *asked(BodyMode.BUFFERED), response_head(ADDRESSES[0]), response_body(USAGE, end_of_stream=True)
    )
    await rig.serve(stream, FOREIGN)
    head, body = response_answers(stream)
    assert head.HasField("response_headers")
    assert not body.response_body.response.HasField("body_mutation")
    (outcome,) = rig.settled
    assert (outcome.http_status, outcome.upstream_address) == (200, ADDRESSES[0])
    assert (outcome.usage.input_tokens, outcome.usage.output_tokens) == (7, 3)
    assert rig.left_over() == {}


async def test_a_streamed_response_is_given_back_as_it_came(rig):
    pieces = [response_body(event) for event in EVENTS] + [response_body(b"", end_of_stream=True)]
    stream = FakeStream(*asked(DUPLEX), response_head(ADDRESSES[1], content_type=STREAM), *pieces)
    await rig.serve(stream, FOREIGN)
    _, *bodies = response_answers(stream)
    streamed = [one.response_body.response.body_mutation.streamed_response for one in bodies]
    assert b"".join(one.body for one in streamed) == b"".join(EVENTS)
    assert [one.end_of_stream for one in streamed] == [False] * len(EVENTS) + [True]
    assert rig.settled[0].usage.output_tokens == 3
    assert rig.left_over() == {}


async def test_a_client_that_leaves_within_a_response_settles_what_was_seen(rig):
    sent = [response_head(ADDRESSES[0], content_type=STREAM), response_body(EVENTS[0])]
    await rig.leave(FakeStream(*asked(DUPLEX), *sent, silent=True), FOREIGN)
    (outcome,) = rig.settled
    assert (outcome.http_status, outcome.usage.output_tokens) == (200, None)
    assert rig.left_over() == {}


async def test_a_client_that_leaves_while_a_piece_is_given_back_settles_too(rig):
    sent = [response_head(ADDRESSES[0], content_type=STREAM), response_body(EVENTS[0])]
    stream = FakeStream(*asked(DUPLEX), *sent, stalls_at=3)  # pick, body, head, piece
    await rig.leave(stream, FOREIGN)
    assert len(rig.settled) == 1
    assert rig.left_over() == {}


async def test_a_client_that_leaves_before_a_response_of_a_gateway_that_shows_them_settles(rig):
    await rig.serve(FakeStream(*asked(BodyMode.BUFFERED), response_head(ADDRESSES[0])), FOREIGN)
    await rig.leave(FakeStream(*asked(BodyMode.BUFFERED), silent=True), FOREIGN)
    assert [one.result for one in rig.settled] == ["ok", "client_gone"]
    assert rig.left_over() == {}


async def test_a_gateway_that_never_shows_responses_leaves_its_requests_open(rig):
    await rig.serve(FakeStream(*asked(BodyMode.NONE)), FOREIGN)
    assert rig.settled == []
    assert rig.left_over() == {"open requests": 1, "in flight": 1, "not finished once": 1}
    rig.state.ledger.expire(float("inf"))
    assert rig.left_over() == {}


async def test_an_error_event_in_a_stream_is_a_failure(rig):
    event = b'data: {"error":{"message":"out of memory","code":500}}\n\n'
    stream = FakeStream(
        *asked(DUPLEX),
        response_head(ADDRESSES[0], content_type=STREAM),
        response_body(event, end_of_stream=True),
    )
    await rig.serve(stream, FOREIGN)
    assert rig.settled[0].result == "server_error"
    assert rig.left_over() == {}


async def test_a_stored_response_is_announced_from_its_first_event_on(rig):
    created = b'data: {"type":"response.created","response":{"id":"resp_1","object":"response"}}\n\n'
    body = b'{"model":"small","input":"hi","stream":true,"background":true}'
    stream = FakeStream(
        *asked(DUPLEX, "/v1/responses", body),
        response_head(ADDRESSES[1], content_type=STREAM),
        response_body(created),
        silent=True,
    )
    serving = asyncio.create_task(rig.serve(stream, FOREIGN))
    await stream.stalled.wait()
    assert rig.began == [("resp_1", ADDRESSES[1], "")]
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    assert rig.settled[0].response_id == "resp_1"
    assert rig.left_over() == {}


async def test_what_a_gateway_repeats_of_the_request_is_ignored(rig):
    stream = FakeStream(
        *asked(BodyMode.BUFFERED), request_body(b"again"), response_head(ADDRESSES[0]), response_body(USAGE)
    )
    await rig.serve(stream, FOREIGN)
    assert len(response_answers(stream)) == 2
    assert rig.settled[0].usage.input_tokens == 7
    assert rig.left_over() == {}


async def test_a_stream_that_waits_for_a_response_holds_nothing_of_its_body(rig):
    body = PROMPT.replace(b"hi", b"x" * 900_000)
    await rig.serve(FakeStream(*asked(DUPLEX, body=body)), FOREIGN)
    serving = []
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(4):
            stream = FakeStream(*asked(DUPLEX, body=body), silent=True)
            serving.append(asyncio.create_task(rig.serve(stream, FOREIGN)))
            await stream.stalled.wait()
            stream.got.clear()
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert rig.bodies.held_bytes == 0
    assert held < 4 * 32_000, "a stream waits with at most 32 KB, the test's own side of it included"
    for one in serving:
        one.cancel()
    await asyncio.gather(*serving, return_exceptions=True)
