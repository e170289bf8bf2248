"""The floor: an ext_proc that parses the body and answers a fixed pick, at Python's best.

    python -m bench.floor PORT UPSTREAM_PORT COUNT [builtin | grpcio]

uvloop, raw bytes on the picker's own transport or on grpcio's, constant answers serialised once, the
stream given back as soon as the pick is written; access-log entries are received and decoded in the same
process.
"""

import asyncio
import sys

import orjson
import uvloop
from envoy.service.accesslog.v3 import als_pb2
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc_pb2

from bench.upstream import addresses
from pilotage_api.settings import GatewaySettings, Transport
from pilotage_extproc.envoy import access_log
from pilotage_extproc.envoy.ext_proc import messages
from pilotage_extproc.envoy.ext_proc.body_budget import BodyBudget
from pilotage_extproc.envoy.ext_proc.pick_writer import Pick, PickWriter
from pilotage_extproc.envoy.xds.ads import XdsServer
from pilotage_extproc.envoy.xds.resources import served_resources
from pilotage_extproc.server.grpc_port import EXT_PROC_SERVICE, port_of
from pilotage_extproc.transport.contract import Method, Service, Stream


def fixed_pick(address: str) -> bytes:
    """The answer to every body."""
    return PickWriter("floor").bundled(Pick(address, 1, "floor-1"), on_body=True)


async def main(port: int, upstream_port: int, count: int, transport: Transport) -> None:
    hosts = [f"{host}:{upstream_port}" for host in addresses(count)]
    pick = fixed_pick(hosts[0])
    request = ext_proc_pb2.ProcessingRequest

    async def process(stream: Stream) -> None:
        await stream.read()
        await stream.write(messages.CONTINUE_REQUEST_HEADERS)
        raw = await stream.read()
        if raw is None:
            return
        orjson.loads(request.FromString(raw).request_body.body)
        await stream.write(pick)

    async def log(stream: Stream) -> None:
        while (raw := await stream.read()) is not None:
            als_pb2.StreamAccessLogsMessage.FromString(raw)

    xds = XdsServer(served_resources(GatewaySettings()), on_acknowledged=lambda _: None)
    xds.publish(hosts)
    server = port_of(transport, None)
    bodies = BodyBudget(max_bytes=32 << 20, max_total_bytes=384 << 20)
    server.add(
        Service(EXT_PROC_SERVICE, {"Process": Method(process, room=bodies)}),
        Service(access_log.SERVICE, {"StreamAccessLogs": Method(log)}),
        xds.service(),
    )
    await server.start("127.0.0.1", port)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.install()
    kind = Transport(sys.argv[4] if len(sys.argv) > 4 else Transport.BUILTIN)
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), kind))
