"""Header blocks: looked up only where the same bytes still mean the same, and judged by RFC 9113."""

import pytest
from effort import examples
from hpack import Decoder, Encoder
from hypothesis import given, settings
from hypothesis import strategies as st
from wire import HEAD, Client, Port, echo

from pilotage_extproc.transport import frames
from pilotage_extproc.transport.contract import Status
from pilotage_extproc.transport.frames import Code, ConnectionFault, frame
from pilotage_extproc.transport.heads import HeadReader, trailers

NAMES = st.sampled_from(["a", "b", "x-one", "x-two"])
VALUES = st.sampled_from(["", "1", "2", "a long value that takes room in the table" * 3])
LISTS = st.lists(st.tuples(NAMES, VALUES), max_size=5)


@given(st.lists(st.tuples(LISTS, st.sampled_from([None, 0, 64, 300, 4096])), max_size=40))
@settings(max_examples=examples(200), deadline=None)
def test_a_block_means_what_a_decoder_without_memory_says(blocks):
    encoder, plain, reader = Encoder(), Decoder(), HeadReader(1 << 14)
    for fields, table_size in blocks:
        if table_size is not None:
            encoder.header_table_size = table_size
        block = encoder.encode(fields)
        expected: dict[str, str] = {}
        for name, value in plain.decode(block):
            expected[name] = f"{expected[name]},{value}" if name in expected else value
        assert dict(reader.read(block).metadata) == expected


def test_a_block_that_repeats_is_not_decoded_again():
    encoder, reader = Encoder(), HeadReader(1 << 14)
    heads = [reader.read(encoder.encode(HEAD.items())) for _ in range(10)]
    assert reader.hits == 8, "the first fills the table, the second is remembered"
    assert heads[2] is heads[9]


@pytest.mark.parametrize(
    "fields",
    [
        {"Upper": "x"},
        {"connection": "close"},
        {"te": "gzip"},
        {":status": "200"},
        {"x": "a\r\nb"},
        {"": "x"},
        {"a b": "x"},
        {"content-length": "-1"},
    ],
)
async def test_a_malformed_head_ends_its_stream_and_no_other(fields):
    client = Client(Port(echo))
    stream, head = client.head(more=fields)
    client.send(head)
    resets = [one for one in await client.frames() if one.kind == frames.RST_STREAM]
    assert [(one.stream, one.number) for one in resets] == [(stream, Code.PROTOCOL_ERROR)]
    _, answered, _ = await client.got(client.open(b"x", end=True))
    assert answered == {"grpc-status": "0"}


async def test_what_is_no_grpc_is_told_so():
    client = Client(Port(echo))
    _, head = client.head(end=True, more={":method": "GET", "content-type": "text/html"})
    client.send(head)
    found = await client.frames()
    text = b"".join(one.payload for one in found if one.kind == frames.DATA)
    assert b"speaks gRPC" in text
    assert found[-1].flags & frames.END_STREAM


def test_size_updates_without_end_are_refused():
    with pytest.raises(ConnectionFault) as refused:
        HeadReader(1 << 14).read(b"\x20" * 10_000)
    assert refused.value.code is Code.COMPRESSION_ERROR


@given(st.binary(max_size=200))
@settings(max_examples=examples(300))
def test_any_bytes_are_a_head_or_a_fault(block):
    try:
        HeadReader(1 << 14).read(block)
    except ConnectionFault as fault:
        assert fault.code is Code.COMPRESSION_ERROR


@given(st.text(max_size=400))
def test_details_of_a_status_are_readable_by_a_decoder(details):
    fields = dict(Decoder().decode(trailers(Status.INTERNAL, details)))
    assert fields["grpc-status"] == "13"
    assert all(0x20 <= ord(ch) <= 0x7E for ch in fields.get("grpc-message", ""))


async def test_the_head_of_a_stream_may_come_in_several_frames():
    client = Client(Port(echo))
    block = client.encoder.encode(HEAD.items())
    client.send(
        frame(frames.HEADERS, frames.END_STREAM, 1, block[:10]),
        frame(frames.CONTINUATION, 0, 1, block[10:20]),
        frame(frames.CONTINUATION, frames.END_HEADERS, 1, block[20:]),
    )
    _, answered, _ = await client.got(1)
    assert answered is not None
    assert answered["grpc-status"] == "0"
