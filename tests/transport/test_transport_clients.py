"""gRPC's own clients in Python, against both transports: they cannot tell them apart."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from pilotage_extproc.transport.contract import Method, Service, Stream


@pytest.fixture
async def port(start_port, transport) -> int:
    return await start_port(transport=transport)


@pytest.mark.parametrize("size", [0, 1, 16_379, 16_380, 100_000, 5_000_000])
async def test_messages_of_any_size_come_back(port, size):
    async with grpc.aio.insecure_channel(
        f"127.0.0.1:{port}", (("grpc.max_receive_message_length", -1),)
    ) as channel:
        call = channel.stream_stream("/test.Echo/Stream")()
        for _ in range(3):
            await call.write(b"x" * size)
            assert await call.read() == b"x" * size
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


async def test_unary_calls_carry_metadata_and_statuses(port):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        shout = channel.unary_unary("/test.Echo/Shout")
        assert await shout(b"abc", metadata=(("x-more", "more"),)) == b"ABCmore"
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary("/test.Echo/Refuse")(b"")
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert refused.value.details() == "50% of ü is wrong\n"
        with pytest.raises(grpc.aio.AioRpcError) as missing:
            await channel.unary_unary("/test.Echo/Other")(b"")
        assert missing.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_client_of_threads_is_served(port):
    def calls() -> list[bytes]:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stream = channel.stream_stream("/test.Echo/Stream")
            with ThreadPoolExecutor(8) as pool:
                answers = pool.map(lambda n: list(stream(iter([b"%d" % n, b"x" * 50_000]))), range(40))
                return [one[0] for one in answers]

    assert await asyncio.to_thread(calls) == [b"%d" % n for n in range(40)]


async def test_many_connections_and_streams_keep_apart(port):
    async def one(number: int) -> None:
        options = (("grpc.use_local_subchannel_pool", 1),)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel:
            stream = channel.stream_stream("/test.Echo/Stream")
            calls = [stream() for _ in range(10)]
            for place, call in enumerate(calls):
                await call.write(b"%d %d" % (number, place))
            for place, call in enumerate(calls):
                assert await call.read() == b"%d %d" % (number, place)
                await call.done_writing()

    await asyncio.gather(*(one(number) for number in range(10)))


@pytest.mark.parametrize("how", ["cancel", "deadline", "connection"])
async def test_a_caller_that_leaves_ends_its_handler(start_port, transport, how):
    began, ended = asyncio.Event(), asyncio.Event()

    async def handler(stream: Stream) -> None:
        try:
            await stream.read()
            began.set()
            await stream.read()
        finally:
            ended.set()

    port = await start_port(Service("test.Wait", {"Wait": Method(handler)}), transport=transport)
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
    call = channel.stream_stream("/test.Wait/Wait")(timeout=0.5 if how == "deadline" else None)
    await call.write(b"x")
    async with asyncio.timeout(10):
        await began.wait()
        if how == "cancel":
            call.cancel()
        elif how == "connection":
            await channel.close()
        await ended.wait()
    await channel.close()


async def test_health_can_be_watched(port):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="readiness"))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        unknown = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="?"))
        assert (await unknown.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        with pytest.raises(grpc.aio.AioRpcError) as missing:
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="?"))
        assert missing.value.code() is grpc.StatusCode.NOT_FOUND


async def test_compressed_calls_are_refused(start_port):
    port = await start_port()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary("/test.Echo/Shout")(b"x" * 5_000, compression=grpc.Compression.Gzip)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_port_that_is_taken_is_an_error(start_port, transport):
    from pilotage_extproc.server.grpc_port import GrpcPort

    taken = await start_port(transport=transport)
    with pytest.raises(RuntimeError):
        await GrpcPort(None, transport).start("127.0.0.1", taken)
    assert threading.active_count() < 100
