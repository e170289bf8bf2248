"""Many simulated servers in one process; idle ones cost nothing."""

import asyncio
from collections.abc import Iterable
from typing import Self

from pilotage_sim.config import SimSpec
from pilotage_sim.server import SimServer


class SimCluster:
    """Servers by address."""

    def __init__(self) -> None:
        self.servers: list[SimServer] = []
        self._retiring: dict[str, tuple[SimServer, asyncio.Task[None]]] = {}

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
        """Start one more; one that is about to retire at the same address stays if it is the same."""
        retiring = self._retiring.pop(f"{spec.host}:{spec.port}", None)
        if retiring is not None:
            server, task = retiring
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if server.alive and server.spec == spec:
                self.servers.append(server)
                return server
            await server.kill()
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

    def retire(self, address: str) -> None:
        """Forget one; it ends once it has answered what it was asked."""
        server = self.find(address)
        self.servers.remove(server)
        task = asyncio.get_running_loop().create_task(self._retire(address, server), name="retire")
        self._retiring[address] = (server, task)

    async def _retire(self, address: str, server: SimServer) -> None:
        await server.finish()
        await server.kill()
        del self._retiring[address]

    async def stop(self) -> None:
        """Kill all."""
        for server, task in list(self._retiring.values()):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await server.kill()
        self._retiring.clear()
        for server in self.servers:
            await server.kill()
        self.servers.clear()
