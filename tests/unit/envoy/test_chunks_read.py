"""Chunks of a body are read by hand as the message classes read them."""

import pytest
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc_pb2
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st

from pilotage_extproc.envoy.ext_proc.messages import read_chunk
from pilotage_extproc.transport.contract import CallRefused


def by_classes(raw):
    message = ext_proc_pb2.ProcessingRequest.FromString(raw)
    if message.HasField("request_body"):
        body = message.request_body
        return body.body, body.end_of_stream or body.end_of_stream_without_message, False
    return None, False, message.HasField("request_trailers")


@given(
    body=st.binary(max_size=300) | st.integers(16_000, 70_000).map(bytes),
    last=st.booleans(),
    without_message=st.booleans(),
    metadata=st.booleans(),
    attributes=st.booleans(),
)
def test_a_body_is_read_as_the_message_classes_read_it(body, last, without_message, metadata, attributes):
    message = ext_proc_pb2.ProcessingRequest()
    message.request_body.body = body
    message.request_body.end_of_stream = last
    message.request_body.end_of_stream_without_message = without_message
    if metadata:
        message.metadata_context.filter_metadata["space"].update({"key": "value"})
    if attributes:
        message.attributes["request"].update({"path": "/"})
    raw = message.SerializeToString()
    assert read_chunk(raw) == by_classes(raw) == (body, last or without_message, False)


@given(st.binary(max_size=40) | st.binary(max_size=30).map(lambda raw: b"\x22" + bytes([len(raw)]) + raw))
@example(b"")
@example(b"\x22")
@example(b"\x22\xff\xff\xff\xff\xff\xff\xff")
@example(b"\x22\x04\x0a\x05ab")
@example(b"\x22\x04\x0a\x02ab\x22\x03\x0a\x01c")
@example(b"\x22\x05\x0a\x01a\x10\x01")
@example(b"\x3a\x00")
def test_whatever_comes_is_read_alike_or_refused(raw):
    try:
        expected = by_classes(raw)
    except DecodeError:
        with pytest.raises(CallRefused):
            read_chunk(raw)
    else:
        assert read_chunk(raw) == expected
