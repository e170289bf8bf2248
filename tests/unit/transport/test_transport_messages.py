"""Messages: cut over frames in any way, several in one, and what is no message."""

import itertools

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from wire import Client, Port, data, echo, message

from pilotage_extproc.transport import frames
from pilotage_extproc.transport.frames import frame
from pilotage_extproc.transport.messages import MessageCutter


@st.composite
def cut_bytes(draw):
    """Messages, and their bytes in pieces."""
    messages = draw(st.lists(st.binary(max_size=40), min_size=1, max_size=8))
    whole = b"".join(message(one) for one in messages)
    cuts = sorted(draw(st.sets(st.integers(0, len(whole)), max_size=12)))
    edges = [0, *cuts, len(whole)]
    return messages, [whole[a:b] for a, b in itertools.pairwise(edges)]


@given(cut_bytes())
@settings(max_examples=examples(200))
def test_a_cutter_finds_the_messages_however_their_bytes_are_cut(case):
    messages, pieces = case
    cutter, found = MessageCutter(), []
    for piece in pieces:
        if not piece:
            continue
        cutter.add(piece, 0, len(piece))
        while cutter.missing <= 0:
            one, rest = cutter.take()
            found.append(one)
            cutter = MessageCutter()
            if rest:
                cutter.add(rest, 0, len(rest))
    assert found == messages


@given(case=cut_bytes(), padding=st.integers(0, 30))
@settings(max_examples=examples(100), deadline=None)
async def test_what_is_cut_over_frames_and_padded_comes_back_whole(case, padding):
    messages, pieces = case
    client = Client(Port(echo))
    stream, head = client.head()
    padded = [
        frame(frames.DATA, frames.PADDED, stream, bytes((padding,)) + piece + b"\0" * padding)
        for piece in pieces
    ]
    client.send(head, *padded, data(stream, b"", end=True))
    while True:
        got, trailers, _ = await client.got(stream)
        if trailers is not None:
            break
    assert got == messages
    assert trailers == {"grpc-status": "0"}


async def test_bytes_that_come_one_by_one_are_a_call_like_another():
    client = Client(Port(echo), greet=False)
    stream, head = client.head()
    whole = frames.PREFACE + frames.settings({}) + head + data(stream, message(b"slowly"), end=True)
    for at in range(len(whole)):
        client.send(whole[at : at + 1])
    got, trailers, _ = await client.got(stream)
    assert (got, trailers) == ([b"slowly"], {"grpc-status": "0"})


@pytest.mark.parametrize(("flag", "status"), [(1, "12"), (7, "13")])
async def test_a_compressed_message_is_refused(flag, status):
    client = Client(Port(echo))
    stream, head = client.head()
    client.send(head, data(stream, message(b"abc", flag)))
    _, trailers, others = await client.got(stream)
    assert trailers is not None
    assert trailers["grpc-status"] == status
    assert [one.number for one in others if one.kind == frames.RST_STREAM] == [0], "no need to send more"


async def test_a_call_that_ends_within_a_message_is_refused():
    client = Client(Port(echo))
    stream, head = client.head()
    client.send(head, data(stream, message(b"abc")[:-1], end=True))
    _, trailers, _ = await client.got(stream)
    assert trailers is not None
    assert trailers["grpc-status"] == "13"


async def test_an_unknown_method_is_unimplemented_whatever_is_sent_to_it():
    client = Client(Port(echo))
    stream = client.open(b"x" * 40_000, more={":path": "/test.Service/Other"})
    _, trailers, _ = await client.got(stream)
    assert trailers is not None
    assert trailers["grpc-status"] == "12"


async def test_a_handler_that_fails_tells_the_caller_nothing_of_why(caplog):
    async def handler(stream) -> None:
        raise ValueError("a secret")

    client = Client(Port(handler))
    _, trailers, _ = await client.got(client.open(b"x"))
    assert trailers == {":status": "200", "content-type": "application/grpc", "grpc-status": "2"}
    assert "a call failed" in caplog.text


async def test_both_answers_of_a_call_leave_in_one_write():
    async def handler(stream) -> None:
        await stream.read()
        await stream.read()
        await stream.write(b"one")
        await stream.write(b"two")

    client = Client(Port(handler))
    await client.frames()
    before = client.transport.writes
    got, trailers, _ = await client.got(client.open(b"head", b"body"))
    assert (got, trailers) == ([b"one", b"two"], {"grpc-status": "0"})
    assert client.transport.writes == before + 1


async def test_answers_leave_while_a_large_read_is_still_worked_on():
    async def handler(stream) -> None:
        await stream.read()
        await stream.write(b"answer")

    client = Client(Port(handler))
    await client.frames()
    before, parts = client.transport.writes, []
    for _ in range(100):
        stream, head = client.head()
        parts += [head, data(stream, message(b"x" * 1000), end=True)]
    client.send(*parts)
    answered = client.transport.writes > before
    assert client.connection.session.calls or answered, "a hundred calls came in one read"
    for _ in range(60):
        await client.settled()
    answers = [one for one in await client.frames() if one.kind == frames.DATA]
    assert len(answers) == 100
    assert client.transport.writes - before >= 10, "not all at its end"
    assert not client.connection.session.calls
