"""The xDS server: clusters, endpoints, listeners and secrets for bundled Envoys, one aggregated stream each.

State of the world, as Envoy's default. An endpoint may be picked once every connected Envoy has
acknowledged a version that has it: a pick Envoy does not know would be answered 503. For a provider that
means all of its resources, at every Envoy that can have it.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from envoy.service.discovery.v3 import discovery_pb2

from pilotage_extproc.domain.reach import Reach
from pilotage_extproc.envoy import contract as names
from pilotage_extproc.envoy.xds.assignment import AddressBook
from pilotage_extproc.envoy.xds.catalog import Catalog
from pilotage_extproc.envoy.xds.connected import ConnectedEnvoy
from pilotage_extproc.envoy.xds.probation import Probation
from pilotage_extproc.envoy.xds.provider_resources import ProviderResources
from pilotage_extproc.envoy.xds.subscription import Reply, Subscription
from pilotage_extproc.transport.contract import CallRefused, Method, Service, Status, Stream

log = logging.getLogger(__name__)

SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
_ORDER: Final = (
    names.CLUSTER_TYPE,
    names.ENDPOINTS_TYPE,
    names.LISTENER_TYPE,
    names.ROUTE_TYPE,
    names.SECRET_TYPE,
)
"""What is referred to comes first."""
_WHOLE: Final = (names.CLUSTER_TYPE, names.LISTENER_TYPE)
_AFTER_DISCOVERY: Final = (names.ENDPOINTS_TYPE, names.LISTENER_TYPE, names.ROUTE_TYPE)
"""Types that are served only once discovery has synced: Envoy waits, and its listener with it."""
_MOST_ENVOYS: Final = 512
_MOST_COMPLAINT: Final = 1024
"""Characters of an Envoy's words that are kept."""


class XdsServer:
    """Serves what was published last; no endpoints before the first `publish` (discovery has synced).

    `resources`: by reach, type URL and name, what never changes while the process lives.
    `on_acknowledged` gets the addresses every connected Envoy has confirmed. When the last Envoy leaves,
    it gets all addresses after `hold_seconds`: that Envoy may have gone on at another process, and its
    acknowledgement is no longer seen here.
    `on_reply` gets `acked` or `nacked` for every answer; `on_rejected` Envoy's words for the latter.
    An address that is no longer published stays with Envoy for `linger_seconds`: a pick made just before
    must still find it.
    An Envoy that confirms nothing for `patience_seconds` is waited for no longer, until it does: without
    mutual TLS whoever reaches the port can pose as one.
    Only an Envoy whose verified certificate has `trusted_name` is told of providers with secrets.
    """

    def __init__(
        self,
        resources: Mapping[Reach, Mapping[str, Mapping[str, bytes]]],
        *,
        on_acknowledged: Callable[[frozenset[str]], None],
        on_reply: Callable[[str], None] = lambda _: None,
        on_rejected: Callable[[str], None] = lambda _: None,
        hold_seconds: float = 0.25,
        linger_seconds: float = 1.0,
        patience_seconds: float = 15.0,
        trusted_name: str = "",
    ) -> None:
        self._trusted_name = trusted_name
        self._fixed = resources
        self._on_acknowledged = on_acknowledged
        self._on_reply = on_reply
        self._on_rejected = on_rejected
        self._hold_seconds = hold_seconds
        self._linger_seconds = linger_seconds
        self._patience_seconds = patience_seconds
        self._catalogs = {reach: Catalog() for reach in Reach}
        for reach, by_type in resources.items():
            for kind, found in by_type.items():
                self._catalogs[reach].put(kind, found)
        self._envoys: set[ConnectedEnvoy] = set()
        self._book = AddressBook()
        self._nonce = 0
        self._hold: asyncio.TimerHandle | None = None
        self._served: list[str] = []
        self._spare: list[str] = []
        self._providers: dict[str, ProviderResources] = {}
        """By address, those that linger included."""
        self._probation = Probation()
        self._leaving: dict[str, object] = {}
        """Addresses that linger, and with whom they leave: all of a change go in one more publication."""
        self.synced = False
        """Whether endpoints have been published."""

    @property
    def connected(self) -> list[str]:
        """Names of the Envoys that have a stream here."""
        return sorted(envoy.name for envoy in self._envoys)

    @property
    def refused_providers(self) -> Mapping[str, str]:
        """Why Envoy does not take a provider, by its address."""
        return self._probation.refused

    def publish(
        self,
        addresses: Sequence[str],
        fail_open_addresses: Sequence[str] | None = None,
        providers: Iterable[ProviderResources] = (),
    ) -> None:
        """Make these endpoints known to Envoys: `ip:port` or `[ipv6]:port`, and providers.

        What Envoy could not use is left out.
        """
        served, refused = self._book.accepted(addresses)
        if refused:
            log.error("addresses that Envoy cannot use are not published", extra={"addresses": refused[:20]})
        self._spare, _ = self._book.accepted(fail_open_addresses or ())
        now = {provider.address: provider for provider in providers}
        served += now
        if self.synced:
            self._let_go(frozenset(self._served), frozenset(served))
        self._served = served
        self._providers = {
            **{address: one for address, one in self._providers.items() if address in self._leaving},
            **now,
        }
        self._probation.follow(now)
        self.synced = True
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
            self._providers.pop(address, None)
        if gone:
            self._publish()

    def _publish(self) -> None:
        hosts = sorted(one for one in {*self._served, *self._leaving} if one not in self._providers)
        spare = self._book.assignment(names.FAIL_OPEN_CLUSTER, self._spare)
        changed = False
        for reach, catalog in self._catalogs.items():
            providers = [
                one
                for address, one in sorted(self._providers.items())
                if reach.covers(one.reach) and self._probation.lets(address)
            ]
            known = [*hosts, *(one.address for one in providers)]
            self._book.learn({one.address: one.locality for one in providers})
            endpoints = {names.MODELS_CLUSTER: self._book.assignment(names.MODELS_CLUSTER, known)}
            fixed = self._fixed.get(reach, {})
            if names.FAIL_OPEN_CLUSTER in fixed.get(names.CLUSTER_TYPE, {}):
                endpoints[names.FAIL_OPEN_CLUSTER] = spare
            for kind in _ORDER:
                resources = dict(endpoints if kind == names.ENDPOINTS_TYPE else fixed.get(kind, {}))
                for one in providers:
                    resources.update(one.resources.get(kind, {}))
                changed |= catalog.put(kind, resources)
            catalog.addresses(names.ENDPOINTS_TYPE, known)
        self._book.keep_only({*hosts, *self._providers, *self._spare})
        if changed:
            self._wake()
        self._tell_acknowledged()  # an address that came back before it had gone is known already

    def _wake(self) -> None:
        for envoy in self._envoys:
            self._awaits(envoy)
            envoy.work.set()

    def _awaits(self, envoy: ConnectedEnvoy) -> None:
        """It is to confirm something; not for ever."""
        loop = asyncio.get_running_loop()
        envoy.owes(loop.time())
        loop.call_later(self._patience_seconds, self._tell_acknowledged)

    def service(self) -> Service:
        """The gRPC service."""
        return Service(SERVICE, {"StreamAggregatedResources": Method(self.serve)})

    async def serve(self, stream: Stream) -> None:
        """Serve one Envoy until it leaves. Raises CallRefused where there are too many."""
        if len(self._envoys) >= _MOST_ENVOYS:
            raise CallRefused(Status.RESOURCE_EXHAUSTED, f"{_MOST_ENVOYS} Envoys are connected here")
        metadata = stream.invocation_metadata()
        reach = Reach.of(
            metadata.get(names.CONTRACT_HEADER, "1"), trusted=self._trusted_name in stream.peer_names()
        )
        name = metadata.get(names.ENVOY_HEADER, "unnamed")[:_MOST_COMPLAINT]
        envoy = ConnectedEnvoy(name, reach, self._catalogs[reach])
        self._envoys.add(envoy)
        if self.synced:
            self._awaits(envoy)
        log.info("Envoy connected", extra={"envoy": envoy.name, "reach": reach.name.lower()})
        if reach is not Reach.SERVERS and self._probation.retry():
            self._publish()
        sender = asyncio.create_task(self._send_to(envoy, stream), name="xds sender")
        try:
            while (raw := await stream.read()) is not None:
                self._take(envoy, discovery_pb2.DiscoveryRequest.FromString(raw))
        finally:
            sender.cancel()
            self._envoys.discard(envoy)
            log.info("Envoy disconnected", extra={"envoy": envoy.name})
            self._left()

    def _take(self, envoy: ConnectedEnvoy, request: discovery_pb2.DiscoveryRequest) -> None:
        kind = request.type_url
        subscription = envoy.subscriptions.get(kind)
        if subscription is None:
            subscription = envoy.subscriptions[kind] = Subscription(whole=kind in _WHOLE)
        reply = subscription.take(request)
        if subscription.due:
            envoy.work.set()
        if reply is Reply.NONE:
            return
        self._on_reply(reply.value)
        if reply is Reply.NACKED:
            message = request.error_detail.message[:_MOST_COMPLAINT]
            log.error(
                "Envoy refused a configuration and keeps its last",
                extra={"envoy": envoy.name, "type": kind, "error": message},
            )
            if self._trusted_name:  # it has proven who it is: what it refuses is not to be picked
                envoy.confirms(asyncio.get_running_loop().time())
            self._on_rejected(message)
            self._blame(kind, subscription.refused, message)
        else:
            envoy.confirms(asyncio.get_running_loop().time())
            self._tell_acknowledged()

    def _blame(self, kind: str, refused: frozenset[str], message: str) -> None:
        """Leave out the provider that a refusal is about, so that it costs nobody else."""
        suspects = {
            address: names_of
            for address, one in self._providers.items()
            if (names_of := frozenset(one.resources.get(kind, {})) & refused)
        }
        if self._probation.blame(suspects, message):
            self._publish()

    async def _send_to(self, envoy: ConnectedEnvoy, stream: Stream) -> None:
        """The only writer of a stream: gRPC takes one write at a time."""
        while True:
            await envoy.work.wait()
            envoy.work.clear()
            for kind in _ORDER:
                subscription = envoy.subscriptions.get(kind)
                if subscription is not None:
                    await self._send(kind, envoy, subscription, stream)

    async def _send(
        self, kind: str, envoy: ConnectedEnvoy, subscription: Subscription, stream: Stream
    ) -> None:
        if kind in _AFTER_DISCOVERY and not self.synced:
            return
        edition = envoy.catalog.edition(kind)
        if edition is None:
            return
        resources = subscription.next(edition)
        if resources is None:
            return
        self._nonce += 1
        nonce = str(self._nonce)
        subscription.sent(edition, resources, nonce)
        response = discovery_pb2.DiscoveryResponse(
            version_info=str(edition.version), type_url=kind, nonce=nonce
        )
        for content in resources.values():
            response.resources.add(type_url=kind, value=content)
        await stream.write(response.SerializeToString())

    def _tell_acknowledged(self) -> None:
        now = asyncio.get_running_loop().time()
        prompt = [envoy for envoy in self._envoys if not envoy.is_late(now, self._patience_seconds)]
        listening = [envoy for envoy in prompt if envoy.listens]
        if self.synced and self._envoys and not prompt:
            self._admit_all()
        if not self.synced or not listening:
            return
        confirmed = {address for address in self._served if self._confirmed(address, listening)}
        self._probation.confirmed(confirmed)
        if self._probation.release():
            self._publish()
            return
        if confirmed:
            self._on_acknowledged(frozenset(confirmed))

    def _confirmed(self, address: str, listening: Sequence[ConnectedEnvoy]) -> bool:
        provider = self._providers.get(address)
        if provider is not None:
            listening = [envoy for envoy in listening if envoy.reach.covers(provider.reach)]
            if not listening or not self._probation.lets(address):
                return False
        for envoy in listening:
            if not envoy.knows(address):
                return False
            if provider is not None and not all(
                envoy.has(kind, name) for kind, found in provider.resources.items() for name in found
            ):
                return False
        return True

    def _left(self) -> None:
        if self._envoys:
            self._tell_acknowledged()  # the one that left may have been the one waited for
            return
        if self._hold is not None:
            self._hold.cancel()
        self._hold = asyncio.get_running_loop().call_later(self._hold_seconds, self._after_hold)

    def _after_hold(self) -> None:
        if self.synced and not self._envoys:
            self._admit_all()

    def _admit_all(self) -> None:
        self._on_acknowledged(frozenset(one for one in self._served if self._probation.lets(one)))
