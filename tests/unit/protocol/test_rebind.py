"""The rebinder's stream: one later attempt, head then body."""

import json

import grpc
import pytest
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc_pb2

from pilotage_extproc.envoy.ext_proc.attempt_rewrite import serve_rebind

ADDRESS = "10.0.0.2:8000"


class OneStream:
    """What Envoy sends, and what it gets."""

    def __init__(self, *sent) -> None:
        self._sent = [message.SerializeToString() for message in sent]
        self.got: list[ext_proc_pb2.ProcessingResponse] = []

    async def read(self):
        return self._sent.pop(0) if self._sent else grpc.aio.EOF

    async def write(self, message: bytes) -> None:
        self.got.append(ext_proc_pb2.ProcessingResponse.FromString(message))

    def invocation_metadata(self):
        return ()


def head(rebind: dict[str, str], *, end_of_stream: bool = False):
    message = ext_proc_pb2.ProcessingRequest()
    message.request_headers.end_of_stream = end_of_stream
    message.attributes["envoy.filters.http.ext_proc"].update({"upstream.address": ADDRESS})
    message.metadata_context.filter_metadata["pilotage"].update({"decision": "a-1", "rebind": rebind})
    return message


def body(content: bytes):
    message = ext_proc_pb2.ProcessingRequest()
    message.request_body.body = content
    message.request_body.end_of_stream = True
    return message


async def rebound(rebind: dict[str, str], content: bytes) -> tuple[bytes | None, str, int]:
    stream, counted = OneStream(head(rebind), body(content)), []
    await serve_rebind(stream, lambda: counted.append(1))
    first, second = stream.got
    assert first.HasField("request_headers")
    common = second.request_body.response
    [option] = common.header_mutation.set_headers
    assert option.header.key == "content-length"
    changed = common.body_mutation.body if common.HasField("body_mutation") else None
    return changed, option.header.raw_value.decode(), len(counted)


async def test_the_model_becomes_the_endpoints_and_nothing_else_changes():
    content = b'{ "messages":[{"role":"user","content":"\\u00e4"}] , "model" : "small", "n":1.0 }'
    changed, length, counted = await rebound({ADDRESS: "a much longer name"}, content)
    assert changed == content.replace(b'"small"', b'"a much longer name"')
    assert (length, counted) == (str(len(changed)), 1)


async def test_the_length_is_set_again_where_the_name_stays_since_headers_of_attempts_add_up():
    content = json.dumps({"model": "small"}).encode()
    changed, length, counted = await rebound({"10.0.0.9:1": "other"}, content)
    assert (changed, length, counted) == (None, str(len(content)), 0)


@pytest.mark.parametrize("content", [b"", b"not json", b'{"prompt":"x"}', b'{"model":"a","model":"b"}'])
async def test_a_body_that_has_no_one_model_goes_on_as_it_is(content):
    changed, length, counted = await rebound({ADDRESS: "other"}, content)
    assert (changed, length, counted) == (None, str(len(content)), 0)


async def test_a_request_without_a_body_needs_one_answer():
    stream = OneStream(head({ADDRESS: "other"}, end_of_stream=True))
    await serve_rebind(stream, lambda: None)
    assert len(stream.got) == 1


async def test_an_envoy_that_gives_up_ends_the_stream():
    stream = OneStream(head({ADDRESS: "other"}))
    await serve_rebind(stream, lambda: None)
    assert len(stream.got) == 1
