"""The floor: an ext_proc that parses the body and answers a fixed pick, at Python's best.

    python -m bench.floor PORT UPSTREAM_PORT COUNT

uvloop, raw bytes through generic handlers, constant answers serialised once, the stream given back as
soon as the pick is written; access-log entries are received and decoded in the same process.
"""

import asyncio
import sys

import grpc
import orjson
import uvloop
from envoy.service.accesslog.v3 import als_pb2
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc_pb2

from bench.upstream import addresses
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.envoy.ext_proc import messages
from pilotage_extproc.envoy.ext_proc.pick_writer import Pick, PickWriter
from pilotage_extproc.envoy.xds.ads import XdsServer
from pilotage_extproc.envoy.xds.resources import served_resources


def fixed_pick(address: str) -> bytes:
    """The answer to every body."""
    return PickWriter("floor").bundled(Pick(address, 1, "floor-1"), on_body=True)


async def main(port: int, upstream_port: int, count: int) -> None:
    hosts = [f"{host}:{upstream_port}" for host in addresses(count)]
    pick = fixed_pick(hosts[0])
    request = ext_proc_pb2.ProcessingRequest

    async def process(_requests: object, context: "grpc.aio.ServicerContext[bytes, bytes]") -> None:
        await context.read()
        await context.write(messages.CONTINUE_REQUEST_HEADERS)
        raw = await context.read()
        if raw is grpc.aio.EOF:
            return
        orjson.loads(request.FromString(raw).request_body.body)
        await context.write(pick)

    async def log(_requests: object, context: "grpc.aio.ServicerContext[bytes, bytes]") -> None:
        while (raw := await context.read()) is not grpc.aio.EOF:
            als_pb2.StreamAccessLogsMessage.FromString(raw)

    xds = XdsServer(served_resources(GatewaySettings()), on_acknowledged=lambda _: None)
    xds.publish(hosts)
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)])
    handlers = {"envoy.service.ext_proc.v3.ExternalProcessor": ("Process", process)}
    handlers["envoy.service.accesslog.v3.AccessLogService"] = ("StreamAccessLogs", log)
    server.add_generic_rpc_handlers(
        [
            *(
                grpc.method_handlers_generic_handler(
                    service, {method: grpc.stream_stream_rpc_method_handler(behaviour)}
                )
                for service, (method, behaviour) in handlers.items()
            ),
            xds.handler(),
        ]
    )
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
