"""Many simulated servers in one process; idle ones cost nothing."""

from collections.abc import Iterable
from typing import Self

from pilotage_sim.config import SimSpec
from pilotage_sim.server import SimServer


class SimCluster:
    """Servers by address."""

    def __init__(self) -> None:
        self.servers: list[SimServer] = []

    @classmethod
    async def start(cls, specs: Iterable[SimSpec]) -> Self:
        """A cluster with these servers. Raises OSError where an address is taken; then none runs."""
        cluster = cls()
        try:
            for spec in specs:
                await cluster.add(spec)
        except OSError:
            await cluster.stop()
            raise
        return cluster

    async def add(self, spec: SimSpec) -> SimServer:
        """Start one more."""
        server = SimServer(spec, seed=len(self.servers))
        await server.start()
        self.servers.append(server)
        return server

    def find(self, address: str) -> SimServer:
        """The server at an address. Raises KeyError."""
        for server in self.servers:
            if server.address == address:
                return server
        raise KeyError(address)

    async def remove(self, address: str) -> None:
        """Kill one and forget it."""
        server = self.find(address)
        self.servers.remove(server)
        await server.kill()

    async def stop(self) -> None:
        """Kill all."""
        for server in self.servers:
            await server.kill()
        self.servers.clear()
