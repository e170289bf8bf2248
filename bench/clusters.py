"""Envoy's clusters for a picker that serves no xDS: python -m bench.clusters PORT UPSTREAM_PORT COUNT."""

import asyncio
import sys

import uvloop

from bench.upstream import addresses
from pilotage_api.settings import GatewaySettings, Transport
from pilotage_extproc.envoy.xds.ads import XdsServer
from pilotage_extproc.envoy.xds.resources import served_resources
from pilotage_extproc.server.grpc_port import port_of


async def main(port: int, upstream_port: int, count: int) -> None:
    xds = XdsServer(served_resources(GatewaySettings()), on_acknowledged=lambda _: None)
    xds.publish([f"{host}:{upstream_port}" for host in addresses(count)])
    server = port_of(Transport.BUILTIN, None)
    server.add(xds.service())
    await server.start("127.0.0.1", port)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
