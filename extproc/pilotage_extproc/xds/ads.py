"""The xDS server: clusters and endpoints for bundled Envoys over one aggregated stream each.

State of the world, as Envoy's default. An endpoint may be picked once every connected Envoy has
acknowledged a version that has it: a pick Envoy does not know would be answered 503.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.service.discovery.v3 import discovery_pb2

from pilotage_extproc.xds import names

log = logging.getLogger(__name__)

CLUSTER_TYPE = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
ENDPOINTS_TYPE = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"


class Stream(Protocol):
    """The part of `grpc.aio.ServicerContext` used here; messages are bytes."""

    async def read(self) -> Any:
        """The next message, or `grpc.aio.EOF`."""

    async def write(self, message: bytes) -> None:
        """Send one message."""

    def invocation_metadata(self) -> Any:
        """Pairs of the stream's initial metadata."""


@dataclass(slots=True)
class Published:
    """What Envoys are to have: serialised once, sent to each."""

    version: int
    addresses: frozenset[str]
    clusters: dict[str, bytes]
    endpoints: dict[str, bytes]


@dataclass(slots=True)
class Subscriber:
    """One connected Envoy."""

    name: str
    sent_nonce: dict[str, str] = field(default_factory=dict)
    sent_version: dict[str, int] = field(default_factory=dict)
    wants: dict[str, frozenset[str]] = field(default_factory=dict)
    """Resource names by type; empty is all."""
    acknowledged: int = 0
    """Version of the endpoints it has confirmed."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class XdsServer:
    """Serves what was published last; nothing before the first `publish` (discovery has synced)."""

    def __init__(
        self,
        clusters: dict[str, bytes],
        *,
        on_acknowledged: Callable[[frozenset[str]], None],
        on_reply: Callable[[str], None],
    ) -> None:
        self._clusters = clusters
        self._on_acknowledged = on_acknowledged
        self._on_reply = on_reply
        self._published: Published | None = None
        self._subscribers: set[Subscriber] = set()
        self._nonce = 0

    @property
    def connected(self) -> list[str]:
        """Names of the Envoys that have a stream here."""
        return sorted(subscriber.name for subscriber in self._subscribers)

    def publish(self, addresses: Sequence[str], fail_open_addresses: Sequence[str]) -> None:
        """Make these endpoints known to Envoys. Addresses are `ip:port`, each once."""
        version = 1 if self._published is None else self._published.version + 1
        endpoints = {names.MODELS_CLUSTER: _assignment(names.MODELS_CLUSTER, addresses)}
        if names.FAIL_OPEN_CLUSTER in self._clusters:
            endpoints[names.FAIL_OPEN_CLUSTER] = _assignment(names.FAIL_OPEN_CLUSTER, fail_open_addresses)
        if self._published is not None and self._published.endpoints == endpoints:
            return
        self._published = Published(version, frozenset(addresses), self._clusters, endpoints)
        for subscriber in self._subscribers:
            subscriber.changed.set()

    def handler(self) -> grpc.GenericRpcHandler:
        """The gRPC service."""
        method: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(self._stream)
        return grpc.method_handlers_generic_handler(SERVICE, {"StreamAggregatedResources": method})

    async def _stream(self, _requests: object, context: Stream) -> None:
        metadata = dict(context.invocation_metadata() or ())
        subscriber = Subscriber(str(metadata.get(names.ENVOY_HEADER, "unnamed")))
        self._subscribers.add(subscriber)
        log.info("Envoy connected", extra={"envoy": subscriber.name})
        sender = asyncio.create_task(self._send_changes(subscriber, context))
        try:
            while True:
                raw = await context.read()
                if raw is grpc.aio.EOF:
                    return
                request = discovery_pb2.DiscoveryRequest.FromString(raw)
                await self._take(subscriber, request, context)
        finally:
            sender.cancel()
            self._subscribers.discard(subscriber)
            log.info("Envoy disconnected", extra={"envoy": subscriber.name})
            self._tell_acknowledged()

    async def _take(
        self,
        subscriber: Subscriber,
        request: discovery_pb2.DiscoveryRequest,
        context: Stream,
    ) -> None:
        kind = request.type_url
        wants = frozenset(request.resource_names)
        if request.HasField("error_detail"):
            self._on_reply("nacked")
            log.error(
                "Envoy refused a configuration and keeps its last",
                extra={"envoy": subscriber.name, "type": kind, "error": request.error_detail.message},
            )
            return
        if request.response_nonce and request.response_nonce != subscriber.sent_nonce.get(kind):
            if request.response_nonce:
                return  # an answer to something that has been replaced since
        elif request.response_nonce:
            self._on_reply("acked")
            if kind == ENDPOINTS_TYPE:
                subscriber.acknowledged = subscriber.sent_version.get(kind, 0)
                self._tell_acknowledged()
            # After a cluster change Envoy repeats its endpoint request with the old nonce and waits:
            # an acknowledgement asks for nothing, a repeat does
            if subscriber.wants.get(kind) == wants and not self._is_repeat(subscriber, kind):
                subscriber.sent_nonce[kind + "#acked"] = request.response_nonce
                return
        subscriber.wants[kind] = wants
        await self._send(subscriber, kind, context)

    @staticmethod
    def _is_repeat(subscriber: Subscriber, kind: str) -> bool:
        return subscriber.sent_nonce.get(kind + "#acked") == subscriber.sent_nonce.get(kind)

    async def _send_changes(self, subscriber: Subscriber, context: Stream) -> None:
        while True:
            await subscriber.changed.wait()
            subscriber.changed.clear()
            for kind in (CLUSTER_TYPE, ENDPOINTS_TYPE):
                if kind in subscriber.wants:
                    await self._send(subscriber, kind, context)

    async def _send(self, subscriber: Subscriber, kind: str, context: Stream) -> None:
        published = self._published
        if published is None:
            return  # discovery has not synced: `publish` will send
        if kind == CLUSTER_TYPE:
            resources, version = published.clusters, 1
            if subscriber.sent_version.get(kind) == version and subscriber.changed.is_set():
                return
        elif kind == ENDPOINTS_TYPE:
            resources, version = published.endpoints, published.version
        else:
            resources, version = {}, 1
        self._nonce += 1
        nonce = str(self._nonce)
        subscriber.sent_nonce[kind] = nonce
        subscriber.sent_version[kind] = version
        wants = subscriber.wants.get(kind) or resources.keys()
        response = discovery_pb2.DiscoveryResponse(version_info=str(version), type_url=kind, nonce=nonce)
        for name in wants:
            if name in resources:
                response.resources.add(type_url=kind, value=resources[name])
        await context.write(response.SerializeToString())

    def _tell_acknowledged(self) -> None:
        published = self._published
        if published is None or not self._subscribers:
            return
        if all(subscriber.acknowledged == published.version for subscriber in self._subscribers):
            self._on_acknowledged(published.addresses)


def _assignment(cluster: str, addresses: Sequence[str]) -> bytes:
    assignment = endpoint_pb2.ClusterLoadAssignment(cluster_name=cluster)
    locality = assignment.endpoints.add()
    for address in addresses:
        host, _, port = address.rpartition(":")
        socket = locality.lb_endpoints.add().endpoint.address.socket_address
        socket.address = host.strip("[]")
        socket.port_value = int(port)
    serialised: bytes = assignment.SerializeToString(deterministic=True)
    return serialised
