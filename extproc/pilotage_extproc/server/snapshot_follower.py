"""Which snapshot a process follows, with the pools that gateways have fixed by their ports."""

import logging

from pilotage_api.snapshot import PoolSnapshot, RoutingSnapshot
from pilotage_extproc.domain.clock import Clock
from pilotage_extproc.rules.build import profiles_of
from pilotage_extproc.server.deciding import Deciding
from pilotage_extproc.server.endpoint_reconciler import EndpointReconciler
from pilotage_extproc.sources.discovery import Discovery
from pilotage_extproc.state.breakers import Breakers
from pilotage_extproc.state.endpoints import EndpointTable
from pilotage_kube.replica_report import PoolCount

log = logging.getLogger(__name__)


class SnapshotFollower:
    """Brings snapshots into force, and says what is in force."""

    def __init__(
        self,
        reconciler: EndpointReconciler,
        deciding: Deciding,
        discovery: Discovery,
        table: EndpointTable,
        clock: Clock,
        breakers: Breakers,
    ) -> None:
        self._reconciler = reconciler
        self._deciding = deciding
        self._discovery = discovery
        self._table = table
        self._clock = clock
        self._breakers = breakers
        self.inference_pools: tuple[PoolSnapshot, ...] = ()
        """Pools that gateways have fixed by the port they ask on."""
        self.snapshot = RoutingSnapshot()
        self.snapshot_at = clock()
        """When it was applied, monotonic seconds."""
        self.synced = False
        """Whether a snapshot has been applied."""

    async def apply(self, snapshot: RoutingSnapshot) -> None:
        """Follow a snapshot. Returns once the next request will."""
        await self._follow(snapshot)
        self.snapshot = snapshot
        self.snapshot_at = self._clock()
        self._deciding.profiles.keep_only(profiles_of(snapshot))
        self.synced = True
        log.info(
            "following a snapshot",
            extra={
                "snapshot": snapshot.version,
                "pools": len(snapshot.pools),
                "endpoints": len(self._table),
            },
        )

    async def follow_inference_pools(self, pools: tuple[PoolSnapshot, ...]) -> None:
        """Serve these too. Returns once the next request can go there, or will once there is a snapshot."""
        self.inference_pools = pools
        if self.synced:
            await self._follow(self.snapshot)

    def pool_counts(self) -> dict[str, PoolCount]:
        """By ModelPool: servers that may get requests here now, and all there are."""
        table, now, rules = self._table, self._clock(), self._deciding.current.index.pool_rules
        counts: dict[str, PoolCount] = {}
        for pool in self.snapshot.pools:
            rule = rules.get(pool.key)
            ready = 0
            if rule is not None:
                rows = rule.route.candidates.rows
                takes = table.admitted[rows] & ~table.draining[rows] & (table.ejected_until[rows] <= now)
                ready = int(takes.sum())
            counts[pool.key] = PoolCount(ready, max(ready, self._discovery.total(pool)))
        return counts

    async def _follow(self, snapshot: RoutingSnapshot) -> None:
        await self._reconciler.follow(self._with_inference_pools(snapshot))
        pools = self._deciding.current.index.pools
        self._deciding.sources.keep_only(pools)
        self._breakers.keep_only(pools)

    def _with_inference_pools(self, snapshot: RoutingSnapshot) -> RoutingSnapshot:
        if not self.inference_pools:
            return snapshot
        return snapshot.model_copy(update={"pools": (*snapshot.pools, *self.inference_pools)})
