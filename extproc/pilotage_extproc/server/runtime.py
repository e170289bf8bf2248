"""One extproc process: every part built and connected.

New endpoints are picked only once every connected Envoy has acknowledged them or, where none is connected
here, once the publish hold has passed.
"""

import asyncio
import logging
import secrets
from collections.abc import Coroutine
from typing import Any

from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import PoolSnapshot, RoutingSnapshot
from pilotage_extproc.domain.clock import Clock, monotonic
from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.envoy.access_log import LoggedRequest
from pilotage_extproc.envoy.ext_proc.body_budget import BodyBudget
from pilotage_extproc.envoy.ext_proc.processor import Processor
from pilotage_extproc.envoy.xds.ads import XdsServer
from pilotage_extproc.envoy.xds.resources import served_resources
from pilotage_extproc.pipeline.decide import Pipeline
from pilotage_extproc.recording.decision_log import DecisionLog
from pilotage_extproc.recording.record import DecisionRecord
from pilotage_extproc.rules.routing_index import profiles_of
from pilotage_extproc.scheduling.candidates import Knowledge
from pilotage_extproc.scheduling.feedback import Learner, Placed
from pilotage_extproc.scheduling.profile import ProfileBook
from pilotage_extproc.scheduling.scheduler import Scheduler
from pilotage_extproc.server.endpoint_rollout import Rollout
from pilotage_extproc.server.engine_feedback import EngineFeedback
from pilotage_extproc.server.tls import port_certificate
from pilotage_extproc.settlement.peers import Peers
from pilotage_extproc.settlement.settler import Settler
from pilotage_extproc.sources.discovery import Discovery, Resolve, system_resolve
from pilotage_extproc.sources.pod_watch import PodWatch
from pilotage_extproc.sources.scrape import Scraper
from pilotage_extproc.sources.selection import Effect
from pilotage_extproc.state.affinity import AdapterSlots, Sessions
from pilotage_extproc.state.calibration import TokenCalibration
from pilotage_extproc.state.endpoints import EndpointTable
from pilotage_extproc.state.health import HealthLedger
from pilotage_extproc.state.inflight import InflightLedger
from pilotage_extproc.state.prefix_index import PrefixIndex
from pilotage_extproc.state.responses import ResponseOwners
from pilotage_extproc.telemetry.metrics import Telemetry
from pilotage_kube.client import ApiClient
from pilotage_kube.replica_report import PoolCount

log = logging.getLogger(__name__)

_EXPIRE_INTERVAL_SECONDS = 0.25
_STALE_SCRAPES = 3


class Runtime:
    """All parts of a process but its ports. With `cluster` it finds pods by their labels."""

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        process_id: str | None = None,
        clock: Clock = monotonic,
        resolve: Resolve = system_resolve,
        cluster: ApiClient | None = None,
    ) -> None:
        self.settings = settings
        self.process_id = process_id or secrets.token_hex(3)
        self.clock = clock
        self.telemetry = Telemetry()
        self.table = EndpointTable()
        self.ledger = InflightLedger[Placed](self.table, ttl_seconds=settings.inflight_ttl_seconds)
        self.health = HealthLedger(self.table, on_ejected=self._ejected)
        self.owners = ResponseOwners()
        self.knowledge = Knowledge(
            PrefixIndex(max_bytes=settings.prefix_index_bytes), AdapterSlots(), Sessions()
        )
        self.learner = Learner(self.table, self.knowledge, self.ledger, self.health, TokenCalibration())
        self.profiles = ProfileBook(clock=clock, on_plugin_trouble=self.telemetry.plugin_trouble.add)
        self.pipeline = Pipeline(
            process_id=self.process_id,
            settings=settings,
            scheduler=Scheduler(self.table, self.knowledge),
            learner=self.learner,
            owners=self.owners,
            decisions=DecisionLog[DecisionRecord](max_bytes=settings.decision_history_bytes),
            clock=clock,
        )
        self.certificate = port_certificate(settings.tls.extproc)
        self.peers = Peers(self.process_id, settings.peers, self.telemetry, self.own_certificate)
        self.settler = Settler(
            self.process_id,
            settle=self.pipeline.settle,
            learn=self.pipeline.learn,
            siblings=self.peers,
            telemetry=self.telemetry,
        )
        self.bodies = BodyBudget(
            max_bytes=settings.body.max_bytes, max_total_bytes=settings.body.max_total_bytes
        )
        self.processor = Processor(
            self.pipeline,
            process_id=self.process_id,
            bodies=self.bodies,
            telemetry=self.telemetry,
            settle=self.settler.stream_end,
            clock=clock,
        )
        self.scraper = Scraper(
            self.table,
            settings.scrape,
            EngineFeedback(self.learner, self.knowledge, self.health, clock),
            clock=clock,
        )
        self.pods = None if cluster is None else PodWatch(cluster, self._pods_changed)
        self.discovery = Discovery(self._endpoints_changed, resolve, self.pods)
        self.xds = XdsServer(
            served_resources(settings),
            on_acknowledged=self.table.admit,
            on_reply=self.telemetry.xds.add,
        )
        self.rollout = Rollout(
            table=self.table,
            discovery=self.discovery,
            xds=self.xds,
            learner=self.learner,
            pipeline=self.pipeline,
            profiles=self.profiles,
            scraper=self.scraper,
            fail_open_pool=settings.fail_open_pool,
            on_added=lambda added: self._spawn(self._admit_after_hold(added), "admit"),
        )
        self.inference_pools: tuple[PoolSnapshot, ...] = ()
        """Pools that gateways have fixed by the port they ask on."""
        self.snapshot = RoutingSnapshot()
        self.snapshot_at = clock()
        self.synced = False
        """Whether a snapshot has been applied."""
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Start what runs by itself."""
        self.peers.start()
        self._spawn(self._expire(), "expire")
        self._spawn(self.rollout.run(), "follow endpoints")

    async def stop(self) -> None:
        """Stop it again; queued settlements are delivered."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.discovery.stop()
        await self.scraper.stop()
        await self.peers.stop()

    async def apply(self, snapshot: RoutingSnapshot) -> None:
        """Follow a snapshot. Returns once the next request will."""
        await self.rollout.follow(self._with_inference_pools(snapshot))
        self.snapshot = snapshot
        self.snapshot_at = self.clock()
        self.profiles.keep_only(profiles_of(snapshot))
        self.synced = True
        log.info(
            "following a snapshot",
            extra={"snapshot": snapshot.version, "pools": len(snapshot.pools), "endpoints": len(self.table)},
        )

    async def follow_inference_pools(self, pools: tuple[PoolSnapshot, ...]) -> None:
        """Serve these too. Returns once the next request can go there, or will once there is a snapshot."""
        self.inference_pools = pools
        if self.synced:
            await self.rollout.follow(self._with_inference_pools(self.snapshot))

    def _with_inference_pools(self, snapshot: RoutingSnapshot) -> RoutingSnapshot:
        if not self.inference_pools:
            return snapshot
        return snapshot.model_copy(update={"pools": (*snapshot.pools, *self.inference_pools)})

    def pool_counts(self) -> dict[str, PoolCount]:
        """By ModelPool: servers that may get requests here now, and all there are."""
        table, now, routes = self.table, self.clock(), self.pipeline.index.pool_routes
        counts: dict[str, PoolCount] = {}
        for pool in self.snapshot.pools:
            route = routes.get(pool.key)
            ready = 0
            if route is not None:
                rows = route.candidates.rows
                takes = table.admitted[rows] & ~table.resting[rows] & (table.ejected_until[rows] <= now)
                ready = int(takes.sum())
            counts[pool.key] = PoolCount(ready, max(ready, self.discovery.total(pool)))
        return counts

    def own_certificate(self) -> str:
        """What siblings are to trust when they connect here, PEM; empty where the port is plaintext."""
        return "" if self.certificate is None else self.certificate.leaf()

    def take_log_entry(self, logged: LoggedRequest) -> None:
        """An entry of an Envoy's access log."""
        self.settler.log_entry(logged.outcome, logged.owner)

    def settle_for_peer(self, outcome: Outcome) -> None:
        """A sibling received the entry of a request this process decided."""
        self.settler.settle(outcome)

    def _endpoints_changed(self) -> None:
        self.rollout.endpoints_changed()

    def _pods_changed(self, effect: Effect) -> None:
        self.rollout.pods_changed(effect)

    async def _admit_after_hold(self, addresses: frozenset[str]) -> None:
        """Where an Envoy is connected its acknowledgement admits; elsewhere time does."""
        await asyncio.sleep(self.settings.publish_hold_seconds)
        if not self.xds.connected:
            self.table.admit(addresses)

    @property
    def stale_after_seconds(self) -> float:
        """How old engine metrics may be: as set, and never less than a few scrapes take."""
        scrapes = _STALE_SCRAPES * self.scraper.interval_seconds(busy=False)
        return max(self.settings.scrape.stale_after_seconds, scrapes + self.settings.scrape.timeout_seconds)

    def _ejected(self, address: str) -> None:
        self.telemetry.ejections.add()
        log.warning("an endpoint is left out: it failed again and again", extra={"endpoint": address})

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(_EXPIRE_INTERVAL_SECONDS)
            now = self.clock()
            self.ledger.expire(now)
            self.table.expire_older_than(now - self.stale_after_seconds)
            self.health.readmit(now)

    def _spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
