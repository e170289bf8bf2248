"""One extproc process: every part built and connected.

New endpoints are picked only once every connected Envoy has acknowledged them or, where none is connected
here, once the publish hold has passed.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from pilotage_api.settings import GatewaySettings, Transport
from pilotage_extproc.dialects.translation.translator import ProviderTranslator
from pilotage_extproc.domain.clock import Clock, monotonic
from pilotage_extproc.domain.failed_attempt import FailedAttempt
from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.envoy.access_log import LoggedRequest
from pilotage_extproc.envoy.announcements import Announcement
from pilotage_extproc.envoy.ext_proc.attempt_rewrite import AttemptRewriter
from pilotage_extproc.envoy.ext_proc.body_budget import BodyBudget
from pilotage_extproc.envoy.ext_proc.picks import Picks
from pilotage_extproc.envoy.ext_proc.processor import Processor
from pilotage_extproc.envoy.ext_proc.provider_hop import ProviderHop
from pilotage_extproc.envoy.ext_proc.vouching import stripped
from pilotage_extproc.envoy.xds.ads import XdsServer
from pilotage_extproc.envoy.xds.resources import served_resources
from pilotage_extproc.scheduling.profile import ProfileBook
from pilotage_extproc.server.accounting import open_accounting
from pilotage_extproc.server.cluster_secrets import ClusterSecrets
from pilotage_extproc.server.deciding import new_deciding
from pilotage_extproc.server.endpoint_reconciler import EndpointReconciler
from pilotage_extproc.server.engine_feedback import EngineFeedback
from pilotage_extproc.server.failures import new_failures
from pilotage_extproc.server.load_sharing import LoadSharing
from pilotage_extproc.server.older_peers import OlderPeers
from pilotage_extproc.server.provider_pools import ProviderPools
from pilotage_extproc.server.provider_secret_sources import LocalSecrets
from pilotage_extproc.server.snapshot_follower import SnapshotFollower
from pilotage_extproc.server.state import new_state
from pilotage_extproc.server.tls import port_certificate
from pilotage_extproc.server.upkeep import Upkeep
from pilotage_extproc.settlement.copies import Copies
from pilotage_extproc.settlement.link import OwnCertificate
from pilotage_extproc.settlement.news import LoadNews, News
from pilotage_extproc.settlement.peers import Peers
from pilotage_extproc.settlement.settler import Settler
from pilotage_extproc.sources.api_key_file import KeyFileWatch
from pilotage_extproc.sources.discovery import Discovery, Resolve, system_resolve
from pilotage_extproc.sources.pod_selection import Effect
from pilotage_extproc.sources.pod_watch import PodWatch
from pilotage_extproc.sources.provider_credentials import CredentialFiles
from pilotage_extproc.sources.provider_secrets import ProviderSecretWatch
from pilotage_extproc.sources.remote_guards import RemoteGuards
from pilotage_extproc.sources.scrape import Scraper
from pilotage_extproc.state.breakers import Breakers, Circuit
from pilotage_extproc.state.endpoints import EndpointTable
from pilotage_extproc.state.health import HealthLedger
from pilotage_extproc.telemetry.metrics import Telemetry
from pilotage_kube.client import ApiClient

log = logging.getLogger(__name__)

_MOST_TASKS = 1000
"""Past so many at once no more requests of processes that may be gone are looked up."""


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
        self._credential_files = CredentialFiles()
        table = EndpointTable()
        health = HealthLedger(table, on_ejected=self._ejected, on_left_alone=self._left_alone)
        accounting = open_accounting(settings, clock, self.process_id)
        breakers = Breakers(self._breaker_changed)
        self.state = state = new_state(settings, table, health, breakers, clock, accounting)
        self.telemetry.expose(state.accounting.spending.instruments())
        profiles = ProfileBook(clock=clock, on_plugin_trouble=self.telemetry.plugin_trouble.add)
        self.older_peers = OlderPeers(clock)
        in_cluster = cluster is not None
        self._guards = RemoteGuards(settings.governance.content, clock, in_cluster=in_cluster)
        self.telemetry.expose(self._guards.telemetry.instruments())
        self.deciding = new_deciding(
            settings,
            state,
            profiles,
            process_id=self.process_id,
            clock=clock,
            older_about=self.older_peers.about,
            guards=self._guards,
        )
        pipeline = self.deciding.pipeline
        self.certificate = port_certificate(settings.tls)
        self.peers = Peers(
            self.process_id,
            settings.peers,
            self.telemetry,
            self.own_certificate,
            shown=self._shown,
            undelivered=self._adopt,
        )
        state.peer_load.meet(self.peers.pickers)
        self.load_sharing = LoadSharing(
            self.process_id, table, state.peer_load, self.deciding.line, self.deciding.room, self.peers
        )
        self.telemetry.expose(self.deciding.queue_telemetry.instruments())
        self.failures = new_failures(
            self.process_id, state, self.deciding.current, self.peers, self.telemetry, clock
        )
        self.settler = Settler(
            self.process_id,
            settle=pipeline.settle,
            learn=self.learn_from,
            peers=self.peers,
            telemetry=self.telemetry,
            adopt=self._adopt,
        )
        store = accounting.valkey
        count = accounting.spending.copies.add
        self.copies = None if store is None else Copies(store, self.take_log_entry, clock, count=count)
        """Second copies of access-log entries, where money is counted for all processes."""
        state.conversations.tell(self.settler.conversation_placed)
        self.bodies = BodyBudget(
            max_bytes=settings.body.max_bytes,
            max_total_bytes=settings.body.max_total_bytes,
            by_headers=settings.transport is Transport.GRPCIO,
        )
        attempts = self.deciding.builder.attempts
        identity = settings.governance.identity
        keys = None if identity is None else identity.api_keys
        self._key_file = (
            None if keys is None or keys.file is None else KeyFileWatch(keys.file, state.keys.follow)
        )
        self.processor = Processor(
            pipeline,
            Picks(self.process_id, attempts.number, self.older_peers.about, clock, stripped(identity)),
            bodies=self.bodies,
            telemetry=self.telemetry,
            settle=self.settler.stream_end,
            response_began=self.settler.response_began,
            clock=clock,
            may_read_answer=partial(
                self.deciding.current.may_read_answer, every=bool(settings.governance.content.response)
            ),
            identity=identity,
            message_timeout_seconds=settings.message_timeout_seconds,
        )
        self.rewriter = AttemptRewriter(attempts, self.telemetry.rewritten_attempts.add)
        self.scraper = Scraper(
            table, settings.scrape, EngineFeedback(state, self.deciding.line, clock), clock=clock
        )
        self.pods = None if cluster is None else PodWatch(cluster, self._pods_changed)
        self.secrets = (
            None
            if cluster is None
            else ProviderSecretWatch(
                cluster, self._endpoints_changed, namespaces=settings.providers.secret_namespaces
            )
        )
        self.providers = ProviderPools(
            settings,
            LocalSecrets(self._credential_files)
            if self.secrets is None
            else ClusterSecrets(self.secrets, settings),
            in_cluster=in_cluster,
            on_change=self._endpoints_changed,
        )
        self.discovery = Discovery(self._endpoints_changed, resolve, self.pods, self.providers)
        self.hop = ProviderHop(self.providers.pool, ProviderTranslator())
        self.xds = XdsServer(
            served_resources(settings),
            on_acknowledged=table.admit,
            on_reply=self.telemetry.xds.add,
            on_rejected=lambda _: self._endpoints_changed(),
            trusted_name=settings.tls.envoy_name,
        )
        self.reconciler = EndpointReconciler(
            table=table,
            discovery=self.discovery,
            xds=self.xds,
            learner=state.learner,
            deciding=self.deciding,
            scraper=self.scraper,
            providers=self.providers,
            fail_open_pool=settings.fail_open_pool,
            on_added=lambda added: self._spawn(self._admit_after_hold(added), "admit"),
        )
        breakers = state.knowledge.breakers
        self.following = SnapshotFollower(
            self.reconciler, self.deciding, self.discovery, table, clock, breakers
        )
        self._upkeep = Upkeep(state, self.deciding.line, self.scraper, settings.scrape, clock)
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Start what runs by itself."""
        self.peers.start()
        self._spawn(self._upkeep.run(), "upkeep")
        self._spawn(self.load_sharing.run(), "share load")
        for running, name in self.state.accounting.runs():
            self._spawn(running, name)
        if self.copies is not None:
            self._spawn(self.copies.run(), "look at copies")
        self._spawn(self.reconciler.run(), "follow endpoints")
        if self._key_file is not None:
            self._key_file.look()
            self._spawn(self._key_file.run(), "follow API keys")
        self._spawn(self.providers.run(), "look at credentials")
        if self.secrets is not None:
            self._spawn(self.secrets.run(), "watch Secrets of providers")

    async def stop(self) -> None:
        """Stop it again; queued settlements are delivered."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.discovery.stop()
        await self.scraper.stop()
        await self.peers.stop()
        await self.state.accounting.close()
        self._credential_files.close()
        await self._guards.close()
        if self.deciding.remote is not None:
            await self.deciding.remote.close()

    def own_certificate(self) -> str:
        """What peers are to trust when they connect here, PEM; empty where the port is plaintext."""
        return "" if self.certificate is None else self.certificate.leaf()

    def _shown(self) -> OwnCertificate | None:
        return None if self.certificate is None else self.certificate.shown()

    def learn_from(self, outcome: Outcome) -> None:
        """Where a stored response or a conversation is now."""
        self.state.learn_from(outcome, self.clock())

    def take_log_entry(self, logged: LoggedRequest) -> None:
        """An entry of an Envoy's access log."""
        if self.copies is not None:
            self.copies.first(logged.outcome.decision_id)
        self.settler.log_entry(logged.outcome, logged.owner)

    def take_log_copy(self, decision_id: str, read: Callable[[], LoggedRequest]) -> bool:
        """The second copy of an entry; False where its stream had better go to another process."""
        return self.copies is None or self.copies.second(decision_id, read)

    def take_failed_attempt(self, attempt: FailedAttempt) -> None:
        """An entry of an Envoy's log of failed attempts."""
        self.failures.logged(attempt)

    def hear(self, news: News) -> None:
        """What a peer tells."""
        if isinstance(news, LoadNews):
            self.load_sharing.heard(news)
        else:
            self.failures.heard(news)

    def take_announcement(self, announced: Announcement) -> None:
        """An Envoy says where a response is being made."""
        self.settler.response_began(announced.id, announced.address, announced.holder)

    def _endpoints_changed(self) -> None:
        self.reconciler.endpoints_changed()

    def _pods_changed(self, effect: Effect) -> None:
        self.reconciler.pods_changed(effect)

    async def _admit_after_hold(self, addresses: frozenset[str]) -> None:
        """Where an Envoy is connected its acknowledgement admits; elsewhere time does."""
        await asyncio.sleep(self.settings.publish_hold_seconds)
        if not self.xds.connected:
            self.state.table.admit(addresses)

    def _adopt(self, outcome: Outcome) -> None:
        """Nobody here has decided this request: its process may be gone, and its hold still there."""
        if len(self._tasks) >= _MOST_TASKS:
            return  # its hold expires
        waiting = self.state.accounting.books.adopt(outcome)
        if waiting is not None:
            self._spawn(waiting, "adopt")

    def _ejected(self, address: str) -> None:
        self.telemetry.ejections.add()
        log.warning("an endpoint is ejected: it failed again and again", extra={"endpoint": address})

    def _left_alone(self, address: str, seconds: float) -> None:
        self.failures.left_alone(address, seconds)

    def _breaker_changed(self, circuit: Circuit, seconds: float | None) -> None:
        log.warning(
            "a circuit breaker has %s",
            "closed" if seconds is None else "opened",
            extra={"pool": circuit.pool, "model": circuit.model, "seconds": seconds},
        )
        self.failures.breaker_changed(circuit, seconds)

    def _spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
