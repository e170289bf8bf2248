"""Endpoints of the snapshot's pools as Envoy addresses: those that pools name, and pods that they select.

DNS names are resolved here, again and again: one name in an endpoint update makes Envoy refuse the whole
update, so names never get there.
"""

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Protocol

from pilotage_api.address import canonical_host
from pilotage_api.snapshot import PoolSnapshot, RoutingSnapshot
from pilotage_extproc.domain.providers import provider_address
from pilotage_extproc.domain.reach import Reach
from pilotage_extproc.sources.inference_pools import is_inference_pool
from pilotage_extproc.sources.pod_selection import PodSelection, join
from pilotage_extproc.state.endpoints import EndpointFacts

log = logging.getLogger(__name__)

RESOLVE_INTERVAL_SECONDS = 5.0
PATIENCE_SECONDS = 2.0
"""How long new names hold a snapshot up; those that take longer get their endpoints when they answer."""
LOOKUP_SECONDS = 30.0
"""An answer that takes longer counts as none, so that it does not keep others from being asked for."""
_LOOKUPS_AT_ONCE = 16
_MAX_ADDRESSES = 256
"""Of one name."""

Resolve = Callable[[str], Awaitable[list[str]]]


class PodSource(Protocol):
    """Knows the pods that pools select."""

    selection: PodSelection

    async def follow(self, pools: Iterable[PoolSnapshot]) -> None:
        """Know the pods of these pools; returns once they have been seen."""

    async def stop(self) -> None:
        """Stop looking."""


class ProviderSource(Protocol):
    """Knows which providers can be used."""

    def members(self, key: str) -> tuple[str, ...]:
        """The endpoint of a provider's pool, where it may get requests."""

    def needs(self, key: str) -> Reach:
        """What a gateway needs to send requests there."""


async def system_resolve(name: str) -> list[str]:
    """IP addresses of a name, by the system's resolver. Raises OSError, and UnicodeError for no name."""
    found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return sorted({str(entry[4][0]) for entry in found})


class Discovery:
    """Follows a snapshot's endpoints; tells a listener when the set of addresses changes.

    Without `pods` (outside a cluster) a pool that selects pods has no endpoints. `pods` tells of its
    changes by itself. With it hosts of providers are asked for as absolute names: a pod's resolver tries its
    search domains first, so that `example.com` could be the service `example` of a namespace `com`.
    """

    def __init__(
        self,
        on_change: Callable[[], None],
        resolve: Resolve = system_resolve,
        pods: PodSource | None = None,
        providers: ProviderSource | None = None,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        """`patience_seconds` bounds how long `follow` waits for names.

        Without `providers` every provider can be used.
        """
        self._providers = providers
        self._on_change = on_change
        self._resolve = resolve
        self._pods = pods
        self._patience_seconds = patience_seconds
        self._snapshot = RoutingSnapshot()
        self._resolved: dict[str, list[str]] = {}
        self._named: dict[str, tuple[str, ...]] = {}
        """Addresses that a pool's endpoints stand for, kept until a name resolves otherwise."""
        self._wanted: set[str] = set()
        """The snapshot's names."""
        self._lookups: dict[str, asyncio.Task[None]] = {}
        """Under way, by name: a name is asked for once at a time."""
        self._at_once = asyncio.Semaphore(_LOOKUPS_AT_ONCE)
        self._awaited: frozenset[str] = frozenset()
        """Names that `follow` waits for: whoever called it reads the addresses afterwards."""
        self._task: asyncio.Task[None] | None = None
        self.failed: dict[str, str] = {}
        """Names that do not resolve now, and why; their last addresses stay in use."""

    async def follow(self, snapshot: RoutingSnapshot) -> None:
        """Follow this snapshot. Pods are seen before this returns, and new names resolved that do so soon."""
        self._snapshot = snapshot
        self._wanted = wanted = self._names()
        self._resolved = {name: found for name, found in self._resolved.items() if name in wanted}
        self._named = {}
        self.failed = {name: why for name, why in self.failed.items() if name in wanted}
        # names that failed before are asked for again in their turn: they hold no snapshot up twice
        await self._meet(wanted - self._resolved.keys() - self.failed.keys())
        if wanted and self._task is None:
            self._task = asyncio.create_task(self._keep_resolving(), name="resolve")
        if self._pods is not None:
            await self._pods.follow(snapshot.pools)
        else:
            for pool in snapshot.pools:
                if pool.selector:
                    log.warning("a pool selects pods, and there is no cluster", extra={"pool": pool.key})

    async def stop(self) -> None:
        """Stop resolving and watching."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        lookups = list(self._lookups.values())
        for lookup in lookups:
            lookup.cancel()
        await asyncio.gather(*lookups, return_exceptions=True)
        if self._pods is not None:
            await self._pods.stop()

    def membership(self) -> dict[str, tuple[str, ...]]:
        """Envoy addresses by pool: those that may get requests."""
        return {pool.key: self._members(pool) for pool in self._snapshot.pools}

    def wanted(self) -> dict[str, EndpointFacts]:
        """What is known of each address, those that drain included.

        The first pool that has it says which engine it is, and more.
        """
        facts: dict[str, EndpointFacts] = {}
        shared: dict[tuple[str, ...], EndpointFacts] = {}
        by_key = {pool.key: pool for pool in self._snapshot.pools}
        for pool in self._snapshot.pools:
            alone = _facts((pool.key,), by_key)
            if pool.external is not None:
                needs = Reach.PROVIDERS if self._providers is None else self._providers.needs(pool.key)
                alone = replace(alone, needs=needs)
            shared[pool.key,] = alone
            for address in (*self._members(pool), *self._draining(pool)):
                before = facts.get(address)
                if before is None:
                    facts[address] = alone
                elif pool.key not in before.pools:
                    pools = (*before.pools, pool.key)
                    if pools not in shared:
                        shared[pools] = _facts(pools, by_key)
                    facts[address] = shared[pools]
        return facts

    def total(self, pool: PoolSnapshot) -> int:
        """Servers the pool has, ready or not."""
        if self._pods is not None and pool.selector:
            return self._pods.selection.total(pool.key)
        return 1 if pool.external is not None else max(len(self._members(pool)), len(pool.endpoints))

    def addresses_of(self, host: str) -> list[str]:
        """The IP addresses that a provider's host stands for, as known now."""
        return self._addresses(self._provider_name(host))

    def _members(self, pool: PoolSnapshot) -> tuple[str, ...]:
        if pool.external is not None:
            return (
                (provider_address(pool.key),)
                if self._providers is None
                else self._providers.members(pool.key)
            )
        if pool.selector:
            return () if self._pods is None else self._pods.selection.addresses(pool.key)
        found = self._named.get(pool.key)
        if found is None:
            found = self._named[pool.key] = tuple(
                dict.fromkeys(
                    join(ip, endpoint.port)
                    for endpoint in pool.endpoints
                    for ip in self._addresses(canonical_host(endpoint.address))
                )
            )
        return found

    def _draining(self, pool: PoolSnapshot) -> tuple[str, ...]:
        if self._pods is None or not pool.selector:
            return ()
        return self._pods.selection.draining(pool.key)

    def _names(self) -> set[str]:
        pools = self._snapshot.pools
        hosts = {canonical_host(one.address) for pool in pools for one in pool.endpoints}
        hosts |= {self._provider_name(pool.external.host) for pool in pools if pool.external is not None}
        return {host for host in hosts if not is_ip(host)}

    def _provider_name(self, host: str) -> str:
        name = canonical_host(host)
        return name if self._pods is None or is_ip(name) else f"{name}."

    def _addresses(self, address: str) -> list[str]:
        return [address] if is_ip(address) else self._resolved.get(address, [])

    async def _meet(self, names: set[str]) -> None:
        """Ask for names that are new, and wait a little for their addresses."""
        if not names:
            return
        self._awaited = frozenset(names)
        try:
            await asyncio.wait([self._look_up(name) for name in names], timeout=self._patience_seconds)
        finally:
            self._awaited = frozenset()
        for name in names - self._resolved.keys() - self.failed.keys():
            self._fails(name, f"no answer within {self._patience_seconds:g} s")

    def _look_up(self, name: str) -> asyncio.Task[None]:
        lookup = self._lookups.get(name)
        if lookup is None:
            lookup = self._lookups[name] = asyncio.create_task(self._ask(name), name="look up")
            lookup.add_done_callback(lambda _: self._lookups.pop(name, None))
        return lookup

    async def _ask(self, name: str) -> None:
        try:
            async with self._at_once, asyncio.timeout(LOOKUP_SECONDS):
                answer = (await self._resolve(name))[:_MAX_ADDRESSES]
        except TimeoutError:
            self._fails(name, f"no answer within {LOOKUP_SECONDS:g} s")
        except Exception as error:  # noqa: BLE001 - resolvers fail in many ways, and one name harms no other
            self._fails(name, str(error) or type(error).__name__)
        else:
            self._answers(name, list(dict.fromkeys(map(canonical_host, answer))))

    def _fails(self, name: str, why: str) -> None:
        if name not in self._wanted:
            return
        if name not in self.failed:
            log.warning("a name does not resolve", extra={"host": name, "error": why})
        self.failed[name] = why

    def _answers(self, name: str, found: list[str]) -> None:
        if name not in self._wanted:
            return
        self.failed.pop(name, None)
        if found == self._resolved.get(name):
            return
        self._resolved[name] = found
        self._named = {}
        if name not in self._awaited:
            self._on_change()

    async def _keep_resolving(self) -> None:
        while True:
            await asyncio.sleep(RESOLVE_INTERVAL_SECONDS)
            for name in sorted(self._wanted):
                self._look_up(name)


def is_ip(address: str) -> bool:
    """Whether an address needs no resolving."""
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True


def _facts(pools: tuple[str, ...], by_key: dict[str, PoolSnapshot]) -> EndpointFacts:
    first = by_key[pools[0]]
    # what an InferencePool's servers have is for their own metrics to say
    adapters = any(by_key[key].adapters or is_inference_pool(key) for key in pools)
    return EndpointFacts(first.engine, pools, first.health, adapters=adapters)
