"""A handler that is stepped: at once where it waits for messages alone, as a task once it waits for more."""

import asyncio

import pytest
from wire import Client, Port, data, data_of, message

from pilotage_extproc.transport import frames
from pilotage_extproc.transport.contract import CallRefused, Status
from pilotage_extproc.transport.stepped import by_steps


def client_of(handler) -> Client:
    return Client(Port(handler, receive=by_steps(handler)))


async def test_answers_are_written_before_the_loop_has_had_a_turn():
    async def handler(stream) -> None:
        while (said := await stream.read()) is not None:
            await stream.write(said * 2)

    client = client_of(handler)
    await client.frames()
    tasks = len(asyncio.all_tasks())
    before = client.transport.writes
    client.open(b"a", b"b", end=True)
    assert client.transport.writes == before + 1
    assert len(asyncio.all_tasks()) == tasks


@pytest.mark.parametrize("waits", [0, 0.01])
async def test_a_handler_that_waits_for_something_else_goes_on_and_is_told_further_messages(waits):
    async def handler(stream) -> None:
        await stream.write(await stream.read())
        await asyncio.sleep(waits)
        while (said := await stream.read()) is not None:
            await stream.write(said)
            await asyncio.sleep(waits)

    client = client_of(handler)
    stream = client.open(b"a", b"b")
    await asyncio.sleep(5 * waits)
    await client.settled()
    client.send(data(stream, message(b"c"), end=True))
    await asyncio.sleep(5 * waits)
    await client.settled()
    got, trailers, _ = await client.got(stream)
    assert (got, trailers) == ([b"a", b"b", b"c"], {"grpc-status": "0"})


@pytest.mark.parametrize("after", ["a message", "a wait"])
async def test_what_a_handler_raises_ends_the_call(after):
    async def handler(stream) -> None:
        await stream.read()
        if after == "a wait":
            await asyncio.sleep(0)
        raise CallRefused(Status.INVALID_ARGUMENT, "no")

    client = client_of(handler)
    stream = client.open(b"a")
    await client.settled()
    _, trailers, _ = await client.got(stream)
    assert trailers is not None
    assert trailers["grpc-status"] == str(int(Status.INVALID_ARGUMENT))


@pytest.mark.parametrize("waits_for", ["a message", "something else"])
async def test_a_lost_connection_cancels_the_handler_where_it_waits(waits_for):
    ended = []

    async def handler(stream) -> None:
        try:
            await stream.read()
            await (stream.read() if waits_for == "a message" else asyncio.Event().wait())
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        finally:
            ended.append("cleaned up")

    client = client_of(handler)
    client.open(b"a")
    await client.settled()
    assert ended == []
    client.connection.connection_lost(None)
    await client.settled()
    assert ended == ["cancelled", "cleaned up"]


@pytest.mark.parametrize("waits_between", [False, True], ids=["stepped throughout", "a task from there on"])
async def test_a_handler_that_has_waited_for_room_may_write_long_messages_again(waits_between):
    async def handler(stream) -> None:
        await stream.read()
        for number in range(4):
            await stream.write(b"x" * 62_000)  # a stream's window is 65,535 at first: the second waits
            if waits_between and number == 1:
                await asyncio.sleep(0)

    client = client_of(handler)
    client.send(frames.window_update(0, 10_000_000))
    stream = client.open(b"go", end=True)
    await client.settled()
    client.send(frames.window_update(stream, 1_000_000))
    got, trailers, _ = await client.got(stream)
    assert trailers == {"grpc-status": "0"}
    assert [len(one) for one in got] == [62_000] * 4


async def test_messages_that_come_while_a_handler_waits_for_room_are_read_after_it():
    async def handler(stream) -> None:
        while (said := await stream.read()) is not None:
            await stream.write(said * 62_000)

    client = client_of(handler)
    client.send(frames.window_update(0, 10_000_000))
    stream = client.open(b"a", b"b", b"c", b"d")
    await client.settled()
    client.send(*data_of(stream, b"e", end=True), frames.window_update(stream, 1_000_000))
    got, trailers, _ = await client.got(stream)
    assert trailers == {"grpc-status": "0"}
    assert [one[:1] for one in got] == [b"a", b"b", b"c", b"d", b"e"]


async def test_a_handler_whose_caller_leaves_before_its_task_had_a_turn_is_cancelled_like_any_other():
    ended = []

    async def handler(stream) -> None:
        await stream.read()
        try:
            await asyncio.Event().wait()
        except BaseException as error:
            ended.append(type(error))
            raise

    client = client_of(handler)
    stream, head = client.head()
    client.send(head, *data_of(stream, b"a"), frames.reset(stream, frames.Code.CANCEL))
    await client.settled()
    assert ended == [asyncio.CancelledError]


async def test_a_lock_that_a_handler_waited_for_is_passed_on_where_its_caller_leaves_at_once():
    lock = asyncio.Lock()
    held = []

    async def handler(stream) -> None:
        name = await stream.read()
        async with lock:
            held.append(name)

    client = client_of(handler)
    await lock.acquire()
    stream, head = client.head()
    client.send(head, *data_of(stream, b"left"), frames.reset(stream, frames.Code.CANCEL))
    client.open(b"stayed", end=True)
    lock.release()
    await client.settled()
    assert held == [b"stayed"]
    assert not lock.locked()
