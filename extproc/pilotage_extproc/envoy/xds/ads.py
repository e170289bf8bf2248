"""The xDS server: clusters, endpoints and secrets for bundled Envoys over one aggregated stream each.

State of the world, as Envoy's default. An endpoint may be picked once every connected Envoy has
acknowledged a version that has it: a pick Envoy does not know would be answered 503.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from envoy.service.discovery.v3 import discovery_pb2

from pilotage_extproc.envoy import contract as names
from pilotage_extproc.envoy.xds.assignment import AddressBook
from pilotage_extproc.envoy.xds.subscription import Reply, Subscription
from pilotage_extproc.transport.contract import Method, Service, Stream

log = logging.getLogger(__name__)

SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"


@dataclass(slots=True, frozen=True)
class Published:
    """The endpoints Envoys are to have: serialised once, sent to each."""

    version: int
    since: Mapping[str, int]
    """By address of the models cluster, those that linger included, the version that brought it."""
    assignments: Mapping[str, bytes]
    """By cluster."""


@dataclass(slots=True, eq=False)
class Envoy:
    """One connected Envoy."""

    name: str
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    """By type URL."""
    work: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when something may have to be sent."""


class XdsServer:
    """Serves what was published last; no endpoints before the first `publish` (discovery has synced).

    `resources`: by type URL and name, what never changes while the process lives.
    `on_acknowledged` gets the addresses every connected Envoy has confirmed. When the last Envoy leaves,
    it gets all addresses after `hold_seconds`: that Envoy may have gone on at another process, and its
    acknowledgement is no longer seen here.
    `on_reply` gets `acked` or `nacked` for every answer; `on_rejected` Envoy's words for the latter.
    An address that is no longer published stays with Envoy for `linger_seconds`: a pick made just before
    must still find it.
    """

    def __init__(
        self,
        resources: Mapping[str, Mapping[str, bytes]],
        *,
        on_acknowledged: Callable[[frozenset[str]], None],
        on_reply: Callable[[str], None] = lambda _: None,
        on_rejected: Callable[[str], None] = lambda _: None,
        hold_seconds: float = 0.25,
        linger_seconds: float = 1.0,
    ) -> None:
        self._resources = resources
        self._on_acknowledged = on_acknowledged
        self._on_reply = on_reply
        self._on_rejected = on_rejected
        self._hold_seconds = hold_seconds
        self._linger_seconds = linger_seconds
        self._published: Published | None = None
        self._envoys: set[Envoy] = set()
        self._book = AddressBook()
        self._nonce = 0
        self._hold: asyncio.TimerHandle | None = None
        self._served: list[str] = []
        self._spare: list[str] = []
        self._leaving: dict[str, object] = {}
        """Addresses that linger, and with whom they leave: all of a change go in one more publication."""

    @property
    def connected(self) -> list[str]:
        """Names of the Envoys that have a stream here."""
        return sorted(envoy.name for envoy in self._envoys)

    @property
    def synced(self) -> bool:
        """Whether endpoints have been published."""
        return self._published is not None

    def publish(self, addresses: Sequence[str], fail_open_addresses: Sequence[str] | None = None) -> None:
        """Make these endpoints known to Envoys: `ip:port` or `[ipv6]:port`. Others are left out."""
        served, refused = self._book.accepted(addresses)
        if refused:
            log.error("addresses that Envoy cannot use are not published", extra={"addresses": refused[:20]})
        self._spare, _ = self._book.accepted(fail_open_addresses or ())
        if self._published is not None:
            self._let_go(frozenset(self._served), frozenset(served))
        self._served = served
        self._publish()

    def _let_go(self, before: frozenset[str], now: frozenset[str]) -> None:
        for address in self._leaving.keys() & now:
            del self._leaving[address]
        left = before - now
        if left:
            company = object()
            self._leaving.update(dict.fromkeys(left, company))
            asyncio.get_running_loop().call_later(self._linger_seconds, self._gone, left, company)

    def _gone(self, addresses: frozenset[str], company: object) -> None:
        gone = [address for address in addresses if self._leaving.get(address) is company]
        for address in gone:
            del self._leaving[address]
        if gone:
            self._publish()

    def _publish(self) -> None:
        known = sorted({*self._served, *self._leaving})
        assignments = {names.MODELS_CLUSTER: self._book.assignment(names.MODELS_CLUSTER, known)}
        if names.FAIL_OPEN_CLUSTER in self._resources[names.CLUSTER_TYPE]:
            spare = self._book.assignment(names.FAIL_OPEN_CLUSTER, self._spare)
            assignments[names.FAIL_OPEN_CLUSTER] = spare
        self._book.keep_only(frozenset(known) | frozenset(self._spare))
        last = self._published
        if last is None or last.assignments != assignments:
            version = 1 if last is None else last.version + 1
            before = {} if last is None else last.since
            since = {address: before.get(address, version) for address in known}
            self._published = Published(version, since, assignments)
            for envoy in self._envoys:
                envoy.work.set()
        self._tell_acknowledged()  # an address that came back before it had gone is known already

    def service(self) -> Service:
        """The gRPC service."""
        return Service(SERVICE, {"StreamAggregatedResources": Method(self.serve)})

    async def serve(self, stream: Stream) -> None:
        """Serve one Envoy until it leaves."""
        envoy = Envoy(stream.invocation_metadata().get(names.ENVOY_HEADER, "unnamed"))
        self._envoys.add(envoy)
        log.info("Envoy connected", extra={"envoy": envoy.name})
        sender = asyncio.create_task(self._send_to(envoy, stream), name="xds sender")
        try:
            while (raw := await stream.read()) is not None:
                self._take(envoy, discovery_pb2.DiscoveryRequest.FromString(raw))
        finally:
            sender.cancel()
            self._envoys.discard(envoy)
            log.info("Envoy disconnected", extra={"envoy": envoy.name})
            self._left()

    def _take(self, envoy: Envoy, request: discovery_pb2.DiscoveryRequest) -> None:
        subscription = envoy.subscriptions.setdefault(request.type_url, Subscription())
        reply = subscription.take(request)
        if subscription.due:
            envoy.work.set()
        if reply is Reply.NONE:
            return
        self._on_reply(reply.value)
        if reply is Reply.NACKED:
            log.error(
                "Envoy refused a configuration and keeps its last",
                extra={
                    "envoy": envoy.name,
                    "type": request.type_url,
                    "error": request.error_detail.message,
                },
            )
            self._on_rejected(request.error_detail.message)
        elif request.type_url == names.ENDPOINTS_TYPE:
            self._tell_acknowledged()

    async def _send_to(self, envoy: Envoy, stream: Stream) -> None:
        """The only writer of a stream: gRPC takes one write at a time."""
        while True:
            await envoy.work.wait()
            envoy.work.clear()
            for kind in (names.CLUSTER_TYPE, names.ENDPOINTS_TYPE, names.SECRET_TYPE):
                subscription = envoy.subscriptions.get(kind)
                if subscription is not None:
                    await self._send(kind, subscription, stream)

    async def _send(self, kind: str, subscription: Subscription, stream: Stream) -> None:
        resources, version = self._resources.get(kind, {}), 1
        if kind == names.ENDPOINTS_TYPE:
            if self._published is None:
                return  # discovery has not synced: Envoy waits, and its listener with it
            resources, version = self._published.assignments, self._published.version
        if not subscription.due and subscription.sent_version == version:
            return
        self._nonce += 1
        nonce = str(self._nonce)
        subscription.sent(version, nonce)
        response = discovery_pb2.DiscoveryResponse(version_info=str(version), type_url=kind, nonce=nonce)
        for name in sorted(subscription.wants) or resources:
            if name in resources:
                response.resources.add(type_url=kind, value=resources[name])
        await stream.write(response.SerializeToString())

    def _tell_acknowledged(self) -> None:
        acked = [
            envoy.subscriptions[names.ENDPOINTS_TYPE].acked_version
            for envoy in self._envoys
            if names.ENDPOINTS_TYPE in envoy.subscriptions
        ]
        if self._published is None or not acked:
            return
        oldest = min(acked)
        since = self._published.since
        confirmed = frozenset(address for address in self._served if since[address] <= oldest)
        if confirmed:
            self._on_acknowledged(confirmed)

    def _left(self) -> None:
        if self._envoys:
            self._tell_acknowledged()  # the one that left may have been the one waited for
            return
        if self._hold is not None:
            self._hold.cancel()
        self._hold = asyncio.get_running_loop().call_later(self._hold_seconds, self._after_hold)

    def _after_hold(self) -> None:
        if self._published is not None and not self._envoys:
            self._on_acknowledged(frozenset(self._served))
