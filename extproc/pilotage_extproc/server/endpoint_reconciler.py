"""Bringing a snapshot and its endpoints into force, in an order that no request can fall between.

New endpoints first get a row and are published to Envoy. Those that go get no new requests from the first
step on, and keep their rows until the index that names them is out of use. All of it is done in short
turns of the event loop: thousands of endpoints hold no request up.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from pilotage_api.residency_proof import kept_out_of_fail_open
from pilotage_api.snapshot import RoutingSnapshot
from pilotage_extproc.domain.providers import is_provider
from pilotage_extproc.envoy.xds.ads import XdsServer
from pilotage_extproc.scheduling.feedback import Learner
from pilotage_extproc.server.deciding import Deciding
from pilotage_extproc.server.provider_pools import ProviderPools
from pilotage_extproc.sources.discovery import Discovery
from pilotage_extproc.sources.pod_selection import Effect
from pilotage_extproc.sources.scrape import Scraper
from pilotage_extproc.state.endpoints import EndpointTable

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.02
"""How long changes of endpoints are gathered before they are brought into force together."""
_REST_SHARE = 20
"""A reconciliation is followed by so many times its length without one."""
_LONGEST_REST_SECONDS = 1.0


class EndpointReconciler:
    """The one place that changes which endpoints there are."""

    def __init__(
        self,
        *,
        table: EndpointTable,
        discovery: Discovery,
        xds: XdsServer,
        learner: Learner,
        deciding: Deciding,
        scraper: Scraper,
        providers: ProviderPools,
        fail_open_pool: str | None,
        on_added: Callable[[frozenset[str]], None],
    ) -> None:
        self._table = table
        self._discovery = discovery
        self._xds = xds
        self._learner = learner
        self._deciding = deciding
        self._scraper = scraper
        self._providers = providers
        self._fail_open_pool = fail_open_pool
        self._on_added = on_added
        self._snapshot: RoutingSnapshot | None = None
        self._changed = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self.count = 0
        """Reconciliations so far."""

    async def follow(self, snapshot: RoutingSnapshot) -> None:
        """Bring a snapshot into force. Returns once the next request will follow it."""
        async with self._one_at_a_time:
            await self._discovery.follow(snapshot)
            self._snapshot = snapshot
            await self._reconcile(snapshot)

    def endpoints_changed(self) -> None:
        """Discovery has found other endpoints; they come into force soon, from `run`."""
        self._changed.set()

    def pods_changed(self, effect: Effect) -> None:
        """Pods have changed: who may not be picked any more drains at once, the rest follows."""
        self._table.drain(effect.drain)
        self._table.restore(effect.restore)
        self._changed.set()

    async def run(self) -> None:
        """Follow changes of endpoints until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            await self._changed.wait()
            await asyncio.sleep(GATHER_SECONDS)
            began = clock()
            async with self._one_at_a_time:
                self._changed.clear()
                if self._snapshot is not None:
                    try:
                        await self._reconcile(self._snapshot)
                    except Exception:
                        log.exception("changed endpoints could not be brought into force")
            await asyncio.sleep(min(_LONGEST_REST_SECONDS, _REST_SHARE * (clock() - began)))

    def _spare(self, snapshot: RoutingSnapshot, membership: Mapping[str, Iterable[str]]) -> list[str]:
        """Servers for requests while no picker is there; none where a rule keeps its requests elsewhere."""
        pool = self._fail_open_pool
        if pool is None or kept_out_of_fail_open(snapshot, pool):
            return []
        return [one for one in membership.get(pool, ()) if not is_provider(one)]

    async def _reconcile(self, snapshot: RoutingSnapshot) -> None:
        table = self._table
        self._providers.follow(snapshot.pools)
        offered = self._providers.refresh(self._discovery.addresses_of, self._xds.refused_providers)
        wanted, membership = self._discovery.wanted(), self._discovery.membership()
        change = table.prepare(wanted)
        table.drain_only(table.rows().keys() - {one for found in membership.values() for one in found})
        await asyncio.sleep(0)
        hosts = sorted(address for address in wanted if not is_provider(address))
        spare = self._spare(snapshot, membership)
        self._xds.publish(hosts, spare, offered)
        await asyncio.sleep(0)
        deciding = self._deciding
        deciding.current.install(await deciding.builder.build(snapshot, membership))
        for row in table.release(change.removed):
            self._learner.forget(row)
        self._scraper.follow()
        self.count += 1
        if change.added:
            self._on_added(change.added)
