"""Flow control: what may come is bounded before it comes, what is not taken waits."""

import asyncio

import pytest
from wire import Client, Port, data, data_of, echo, message

from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.envoy.ext_proc.body_budget import BodyBudget
from pilotage_extproc.transport import frames
from pilotage_extproc.transport.frames import Code
from pilotage_extproc.transport.limits import Limits

MIB = 1 << 20
WINDOW = Limits().stream_window


def updates(found, stream: int) -> int:
    return sum(one.number for one in found if one.kind == frames.WINDOW_UPDATE and one.stream == stream)


async def test_more_than_was_granted_is_a_fault_of_the_stream():
    async def never(stream) -> None:
        await asyncio.Event().wait()

    client = Client(Port(never))
    stream, head = client.head()
    client.send(head, *data_of(stream, *[b"x" * 16_000] * 17))
    resets = [(one.stream, one.number) for one in await client.frames() if one.kind == frames.RST_STREAM]
    assert resets[:1] == [(stream, Code.FLOW_CONTROL_ERROR)]


async def test_messages_nobody_reads_are_bounded_by_the_window_and_by_the_port():
    async def never(stream) -> None:
        await asyncio.Event().wait()

    port = Port(never, Limits(messages_bytes=100_000))
    client = Client(port)
    stream = client.open(*[b"x" * 10_000] * 12)
    await client.settled()
    assert port.room.taken_bytes == 0, "the call was refused, and what it held is free"
    assert updates(await client.frames(), stream) == 0


async def test_a_window_opens_as_messages_are_read():
    client = Client(Port(echo))
    stream = client.open(b"x" * (WINDOW // 2), b"y" * 10)
    found = await client.frames()
    assert updates(found, stream) >= WINDOW // 2


async def test_a_long_message_is_granted_what_it_needs_and_no_more():
    seen = []

    async def handler(stream) -> None:
        seen.append(await stream.read())

    budget = BodyBudget(max_bytes=8 * MIB, max_total_bytes=8 * MIB, by_headers=False)
    client = Client(Port(handler, method_room=budget))
    stream, head = client.head()
    parts = data_of(stream, b"x" * (3 * MIB))
    client.send(head, parts[0])
    found = await client.frames()
    assert updates(found, stream) == 3 * MIB + 5 - WINDOW
    assert budget.expected_bytes == 3 * MIB
    for part in parts[1:]:
        client.send(part)
        await client.settled()
    assert [len(one) for one in seen] == [3 * MIB]
    assert budget.expected_bytes == 0


async def test_a_body_beyond_the_budget_is_granted_no_window_until_there_is_room():
    budget = BodyBudget(max_bytes=4 * MIB, max_total_bytes=4 * MIB, by_headers=False, wait_seconds=5.0)
    seen = []

    async def handler(stream) -> None:
        seen.append(len(await stream.read() or b""))

    budget.take(3 * MIB, body_bytes=3 * MIB)
    client = Client(Port(handler, method_room=budget))
    stream, head = client.head()
    parts = data_of(stream, b"x" * (2 * MIB))
    client.send(head, parts[0])
    assert updates(await client.frames(), stream) == 0
    budget.release(3 * MIB)
    assert updates(await client.frames(), stream) == 2 * MIB + 5 - WINDOW
    for part in parts[1:]:
        client.send(part)
        await client.settled()
    assert seen == [2 * MIB]
    assert (budget.expected_bytes, budget.held_bytes) == (0, 0)


async def test_a_body_that_waits_in_vain_is_refused_as_overload():
    budget = BodyBudget(max_bytes=4 * MIB, max_total_bytes=4 * MIB, by_headers=False, wait_seconds=0.01)
    refused = []

    async def handler(stream) -> None:
        try:
            await stream.read()
        except RequestRefused as error:
            refused.append(error.reason)
            await stream.write(b"503")

    budget.take(4 * MIB, body_bytes=4 * MIB)
    client = Client(Port(handler, method_room=budget))
    stream, head = client.head()
    client.send(head, data(stream, message(b"x" * 2 * MIB)[:16_000]))
    await asyncio.sleep(0.05)
    got, trailers, _ = await client.got(stream)
    assert refused == [Refusal.OVERLOADED]
    assert (got, trailers) == ([b"503"], {"grpc-status": "0"})
    budget.release(4 * MIB)
    assert (budget.expected_bytes, budget.held_bytes) == (0, 0)


@pytest.mark.parametrize("length", [6 * MIB, (1 << 32) - 1])
async def test_a_message_that_says_it_is_too_large_is_refused_before_it_comes(length):
    budget = BodyBudget(max_bytes=4 * MIB, max_total_bytes=64 * MIB, by_headers=False)
    refused = []

    async def handler(stream) -> None:
        try:
            await stream.read()
        except RequestRefused as error:
            refused.append(error.reason)

    client = Client(Port(handler, method_room=budget))
    stream, head = client.head()
    client.send(head, data(stream, b"\0" + length.to_bytes(4, "big") + b"x" * 100))
    await client.settled()
    assert refused == [Refusal.BODY_TOO_LARGE]
    assert budget.expected_bytes == 0


@pytest.mark.parametrize("how", ["reset", "lost", "deadline"])
async def test_a_body_that_does_not_come_gives_its_room_back(how):
    budget = BodyBudget(max_bytes=4 * MIB, max_total_bytes=4 * MIB, by_headers=False, wait_seconds=5.0)
    client = Client(Port(echo, method_room=budget))
    streams = []
    for _ in range(2):
        stream, head = client.head()
        client.send(head, data(stream, message(b"x" * 3 * MIB)[:1000]))
        streams.append(stream)
    await client.settled()
    assert budget.expected_bytes == 3 * MIB
    if how == "reset":
        client.send(frames.reset(streams[0], Code.CANCEL))
        await client.settled()
        assert budget.expected_bytes == 3 * MIB, "the second was let in"
        client.send(frames.reset(streams[1], Code.CANCEL))
    elif how == "lost":
        client.connection.connection_lost(None)
    else:
        client.clock.now += 31
        client.connection.watch()
    await client.settled()
    assert budget.expected_bytes == 0


async def test_room_is_free_only_once_the_handler_has_taken_the_message_over():
    """Otherwise another body could be let in between, and both together would be too much."""
    budget = BodyBudget(max_bytes=4 * MIB, max_total_bytes=4 * MIB, by_headers=False, wait_seconds=5.0)
    held = []

    async def handler(stream) -> None:
        body = await stream.read()
        budget.take(len(body), body_bytes=len(body))
        held.append(len(body))
        await asyncio.Event().wait()

    client = Client(Port(handler, method_room=budget))
    for _ in range(2):
        stream, head = client.head()
        client.send(head, *data_of(stream, b"x" * 200_000))
        await client.settled()
    first, head = client.head()
    client.send(head, data(first, message(b"x" * 3 * MIB)[:16_000]))
    await client.settled()
    assert held == [200_000, 200_000]
    assert budget.held_bytes + budget.expected_bytes == 400_000 + 3 * MIB


async def test_answers_wait_for_the_callers_window_and_go_on_where_they_stopped():
    client = Client(Port(echo))
    client.send(frames.settings({frames.INITIAL_WINDOW_SIZE: 10_000}))
    stream = client.open(b"x" * 50_000, end=True)
    sent = b""
    for _ in range(20):
        found = await client.frames()
        sent += b"".join(one.payload for one in found if one.kind == frames.DATA)
        if any(one.flags & frames.END_STREAM for one in found if one.kind == frames.HEADERS):
            break
        assert len(sent) % 10_000 == 0
        client.send(frames.window_update(stream, 10_000))
    assert sent == message(b"x" * 50_000)


async def test_a_handler_waits_while_its_answers_are_not_taken():
    written = []

    async def handler(stream) -> None:
        for _ in range(100):
            await stream.write(b"x" * 20_000)
            written.append(1)

    client = Client(Port(handler))
    client.open(b"x")
    await client.settled()
    assert len(written) == 3, "what the connection's first window takes"


@pytest.mark.parametrize("stream", [0, 1])
async def test_a_window_that_grows_too_large_is_a_fault(stream):
    async def never(stream) -> None:
        await asyncio.Event().wait()

    client = Client(Port(never))
    client.open(b"x")
    client.send(frames.window_update(stream, frames.MOST_WINDOW))
    found = await client.frames()
    if stream:
        assert [one.number for one in found if one.kind == frames.RST_STREAM] == [Code.FLOW_CONTROL_ERROR]
    else:
        assert client.transport.closed


async def test_many_empty_messages_cost_no_more_than_the_port_allows():
    async def never(stream) -> None:
        await asyncio.Event().wait()

    port = Port(never, Limits(messages_bytes=100_000))
    client = Client(port)
    stream, head = client.head()
    client.send(head, *[data(stream, message(b"") * 3_000)] * 3)
    await client.settled()
    assert port.room.taken_bytes == 0
