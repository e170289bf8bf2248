"""Endpoints of the snapshot's pools as Envoy addresses; DNS names are resolved here, again and again.

One DNS name in an endpoint update makes Envoy refuse the whole update, so names never get there.
"""

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Callable

from pilotage_api.snapshot import RoutingSnapshot
from pilotage_extproc.state.endpoints import EndpointFacts

log = logging.getLogger(__name__)

RESOLVE_INTERVAL_SECONDS = 5.0
_MAX_ADDRESSES = 256
"""Of one name."""

Resolve = Callable[[str], Awaitable[list[str]]]


async def system_resolve(name: str) -> list[str]:
    """IP addresses of a name, by the system's resolver. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return sorted({str(entry[4][0]) for entry in found})


class Discovery:
    """Follows a snapshot's endpoints; tells a listener when the set of addresses changes."""

    def __init__(self, on_change: Callable[[], None], resolve: Resolve = system_resolve) -> None:
        self._on_change = on_change
        self._resolve = resolve
        self._snapshot = RoutingSnapshot()
        self._resolved: dict[str, list[str]] = {}
        self._task: asyncio.Task[None] | None = None
        self.failed: dict[str, str] = {}
        """Names that do not resolve now, and why; their last addresses stay in use."""

    async def follow(self, snapshot: RoutingSnapshot) -> None:
        """Follow this snapshot; new names are resolved before this returns."""
        self._snapshot = snapshot
        wanted = self._names()
        self._resolved = {name: found for name, found in self._resolved.items() if name in wanted}
        self.failed = {name: why for name, why in self.failed.items() if name in wanted}
        await asyncio.gather(*(self._look_up(name) for name in wanted - self._resolved.keys()))
        if wanted and self._task is None:
            self._task = asyncio.create_task(self._keep_resolving(), name="resolve")

    async def stop(self) -> None:
        """Stop resolving."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def membership(self) -> dict[str, tuple[str, ...]]:
        """Envoy addresses by pool."""
        return {
            pool.key: tuple(
                dict.fromkeys(
                    _join(ip, endpoint.port)
                    for endpoint in pool.endpoints
                    for ip in self._addresses(endpoint.address)
                )
            )
            for pool in self._snapshot.pools
        }

    def wanted(self) -> dict[str, EndpointFacts]:
        """What is known of each address. The first pool that has it says which engine it is, and more."""
        pools: dict[str, list[str]] = {}
        for pool, addresses in self.membership().items():
            for address in addresses:
                pools.setdefault(address, []).append(pool)
        by_key = {pool.key: pool for pool in self._snapshot.pools}
        return {
            address: EndpointFacts(
                by_key[found[0]].engine,
                tuple(found),
                by_key[found[0]].health,
                any(by_key[key].adapters for key in found),
            )
            for address, found in pools.items()
        }

    def _names(self) -> set[str]:
        addresses = {endpoint.address for pool in self._snapshot.pools for endpoint in pool.endpoints}
        return {address for address in addresses if not is_ip(address)}

    def _addresses(self, address: str) -> list[str]:
        return [address] if is_ip(address) else self._resolved.get(address, [])

    async def _look_up(self, name: str) -> bool:
        try:
            found = (await self._resolve(name))[:_MAX_ADDRESSES]
        except OSError as error:
            if name not in self.failed:
                log.warning("a name does not resolve", extra={"host": name, "error": str(error)})
            self.failed[name] = str(error)
            return False
        self.failed.pop(name, None)
        changed = found != self._resolved.get(name)
        self._resolved[name] = found
        return changed

    async def _keep_resolving(self) -> None:
        while True:
            await asyncio.sleep(RESOLVE_INTERVAL_SECONDS)
            changed = [await self._look_up(name) for name in sorted(self._names())]
            if any(changed):
                self._on_change()


def is_ip(address: str) -> bool:
    """Whether an address needs no resolving."""
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True


def _join(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
