"""Simulated model servers at the addresses of the pools, coming and going with them."""

import ipaddress

from pilotage_api.snapshot import NameKind, PoolSnapshot, RoutingSnapshot
from pilotage_extproc.server.addresses import AddressError, join_address
from pilotage_sim import SimCluster, SimConfig, SimSpec


class SimulatedPools:
    """One simulated server for each endpoint of each pool."""

    def __init__(self, *, time_scale: float = 1.0) -> None:
        self._time_scale = time_scale
        self.cluster = SimCluster()
        self._addresses: set[str] = set()

    async def follow(self, snapshot: RoutingSnapshot) -> None:
        """Run servers at all these addresses. Raises AddressError for one that is not free loopback."""
        wanted = self._wanted(snapshot)
        for address in sorted(wanted.keys() - self._addresses):
            try:
                await self.cluster.add(wanted[address])
            except OSError as error:
                raise AddressError(
                    f"{address} cannot be used for a simulated server: {error.strerror}"
                ) from None
            self._addresses.add(address)

    def retire_others(self, snapshot: RoutingSnapshot) -> None:
        """Let servers at other addresses end when they have answered what they have."""
        for address in self._addresses - self._wanted(snapshot).keys():
            self.cluster.retire(address)
            self._addresses.discard(address)

    def _wanted(self, snapshot: RoutingSnapshot) -> dict[str, SimSpec]:
        wanted: dict[str, SimSpec] = {}
        for pool in snapshot.pools:
            for endpoint in pool.endpoints:
                address = join_address(endpoint.address, endpoint.port)
                if not _is_loopback(endpoint.address):
                    raise AddressError(
                        f"{pool.key}: {address} is not loopback; --sim only serves 127.0.0.0/8"
                    )
                wanted.setdefault(address, self._spec(snapshot, pool, endpoint.address, endpoint.port))
        return wanted

    def _spec(self, snapshot: RoutingSnapshot, pool: PoolSnapshot, host: str, port: int) -> SimSpec:
        adapters = {
            binding.upstream_model
            for bindings in snapshot.names.values()
            for binding in bindings
            if binding.pool == pool.key and binding.kind is NameKind.ADAPTER
        }
        models = [model for model in pool.models if model not in adapters]
        config = SimConfig(
            models=tuple(models), adapters=tuple(sorted(adapters)), time_scale=self._time_scale
        )
        return SimSpec(host, port, config)

    async def stop(self) -> None:
        """End all servers."""
        await self.cluster.stop()


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
