"""A response that Envoy was asked for before its policy was known, and that nobody looks at."""

import pytest
from fake_stream import FakeStream, request_body, request_head, response_body, response_head
from stream_rig import ADDRESSES, BUNDLED, POOL, stream_rig

from pilotage_extproc.envoy.ext_proc.messages import BodyMode

LOOKS = f"""{POOL}---
apiVersion: pilotage.dev/v1alpha1
kind: RoutePolicy
metadata: {{name: looks}}
spec:
  match: {{models: [looks]}}
  rules: [{{candidates: [{{model: small}}]}}]
  governance: {{content: {{response: [{{detectors: [email], action: block}}]}}}}
"""
PROMPT = b'{"model":"alias","messages":[{"role":"user","content":"hi"}]}'


@pytest.mark.parametrize("ends_at_once", [True, False])
async def test_it_passes_unchanged_where_the_call_cannot_end_with_its_pick(ends_at_once):
    rig = await stream_rig(LOOKS)
    rig.processor.may_read_answer = lambda _headers: True
    stream = FakeStream(
        request_head("/v1/chat/completions"),
        request_body(PROMPT),
        response_head(ADDRESSES[0]),
        response_body(b'{"choices":'),
        response_body(b"[]}", end_of_stream=True),
    )
    stream.ends_at_once = ends_at_once
    await rig.serve(stream, BUNDLED)
    head, pick, *response = stream.got
    assert head.mode_override.response_body_mode == BodyMode.FULL_DUPLEX_STREAMED
    assert pick.HasField("request_body")
    if ends_at_once:
        assert response == []
        return
    first, *pieces = response
    assert first.HasField("response_headers")
    streamed = [one.response_body.response.body_mutation.streamed_response for one in pieces]
    assert b"".join(one.body for one in streamed) == b'{"choices":[]}'
    assert [one.end_of_stream for one in streamed] == [False, True]


@pytest.mark.parametrize("ends_at_once", [True, False])
async def test_a_request_without_a_body_ends_with_its_pick_where_nobody_looks(ends_at_once):
    """Envoy is asked for its response with the pick, if at all."""
    rig = await stream_rig(LOOKS)
    rig.state.owners.learn("resp_1", ADDRESSES[0])
    stream = FakeStream(
        request_head("/v1/responses/resp_1", method="GET", end_of_stream=True), response_head(ADDRESSES[0])
    )
    stream.ends_at_once = ends_at_once
    await rig.serve(stream, BUNDLED)
    [pick] = stream.got
    assert pick.HasField("request_headers")
