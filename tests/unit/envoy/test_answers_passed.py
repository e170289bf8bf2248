"""Answers that pass through the picker, over a fake stream: looked at, cut, and settled."""

from typing import Any

import pytest
from fake_stream import FakeStream, request_body, request_head, response_body, response_head
from stream_rig import ADDRESSES, BUNDLED, FOREIGN, StreamRig, stream_rig

from pilotage_extproc.envoy.ext_proc.messages import BodyMode

CHAT = "/v1/chat/completions"
PROMPT = b'{"model":"auto","messages":[{"role":"user","content":"hi"}]}'
SECRET = b"AKIAIOSFODNN7EXAMPLE"
POLICY = """
apiVersion: pilotage.dev/v1alpha1
kind: RoutePolicy
metadata: {name: auto}
spec:
  match: {models: [auto]}
  rules: [{candidates: [{model: small}]}]
  governance:
    content:
      response:
        - {detectors: [secret], action: block}
        - {detectors: [email], action: redact}
"""
DUPLEX = (BodyMode.FULL_DUPLEX_STREAMED, BodyMode.FULL_DUPLEX_STREAMED)


@pytest.fixture
async def rig() -> StreamRig:
    return await stream_rig(policies=POLICY)


def asked(body: bytes = PROMPT) -> tuple[Any, ...]:
    return request_head(CHAT, modes=DUPLEX), request_body(body)


def sent(stream: FakeStream) -> tuple[bytes, bool]:
    """What of the body went on, and whether the last of it ended the response."""
    bodies = [
        message.response_body.response.body_mutation.streamed_response
        for message in stream.got
        if message.WhichOneof("response") == "response_body"
    ]
    return b"".join(one.body for one in bodies), bodies[-1].end_of_stream


def event(text: bytes) -> bytes:
    return b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % text


async def test_another_gateways_stream_is_cut_at_a_secret_and_its_usage_read(rig: StreamRig) -> None:
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}\n\n'
    stream = FakeStream(
        *asked(),
        response_head(ADDRESSES[0], content_type="text/event-stream"),
        response_body(usage + event(b"the key ") + event(SECRET[:8])),
        response_body(event(SECRET[8:] + b" is it")),
        response_body(b"data: [DONE]\n\n", end_of_stream=True),
    )
    await rig.serve(stream, FOREIGN)
    body, ended = sent(stream)
    assert ended
    assert SECRET[:6] not in body
    assert b'"finish_reason":"content_filter"' in body
    assert body.count(b"[DONE]") == 1
    [outcome] = rig.settled
    assert outcome.answer_content == ("secret:block:1",)
    assert outcome.usage.output_tokens == 3
    assert rig.left_over() == {}
    last = stream.got[-1].dynamic_metadata.fields["pilotage"].struct_value.fields
    assert last["answer"].string_value == "secret:block:1"


async def test_an_answer_of_another_kind_is_not_let_through(rig: StreamRig) -> None:
    stream = FakeStream(
        *asked(),
        response_head(ADDRESSES[0], content_type="text/html"),
        response_body(SECRET, end_of_stream=True),
    )
    await rig.serve(stream, FOREIGN)
    immediate = stream.got[-1].immediate_response
    assert immediate.status.code == 502
    assert b"answer_not_checked" in immediate.body
    assert SECRET not in immediate.body
    assert rig.left_over() == {}


async def test_an_answer_larger_than_a_body_may_be_is_filtered(rig: StreamRig) -> None:
    piece = b'{"choices":[{"message":{"content":"' + b"x" * 40_000
    stream = FakeStream(
        *asked(),
        response_head(ADDRESSES[0], content_type="application/json"),
        *[response_body(piece)] * 120,
    )
    await rig.serve(stream, FOREIGN)
    body, ended = sent(stream)
    assert ended
    assert b"xxx" not in body
    assert b'"content_filter"' in body
    assert rig.left_over() == {}


async def test_what_other_policies_get_is_as_it_came(rig: StreamRig) -> None:
    told = event(SECRET)
    stream = FakeStream(
        *asked(PROMPT.replace(b"auto", b"small")),
        response_head(ADDRESSES[0], content_type="text/event-stream"),
        response_body(told, end_of_stream=True),
    )
    await rig.serve(stream, FOREIGN)
    assert sent(stream) == (told, True)


async def test_a_bundled_envoy_that_was_not_asked_for_the_answer_gets_no_pick(rig: StreamRig) -> None:
    stream = FakeStream(request_head(CHAT), request_body(PROMPT))
    await rig.serve(stream, BUNDLED)
    assert stream.got[-1].immediate_response.status.code == 503
    assert not stream.got[0].HasField("mode_override")
    assert rig.left_over() == {}


async def test_a_client_that_leaves_leaves_nothing_behind(rig: StreamRig) -> None:
    stream = FakeStream(
        *asked(),
        response_head(ADDRESSES[0], content_type="application/json"),
        response_body(b'{"choices":'),
        silent=True,
    )
    await rig.leave(stream, FOREIGN)
    assert rig.left_over() == {}
