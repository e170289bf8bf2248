"""A picker that follows a real API server, in this process, and gateways that ask it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc_pb2
from waiting import until

from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import (
    Binding,
    EndpointSnapshot,
    Engine,
    NameKind,
    PoolSnapshot,
    RoutingSnapshot,
    StreamUsage,
)
from pilotage_cli.gateway.cluster import ClusterPicker
from pilotage_kube.client import ApiClient
from pilotage_kube.connection import Connection
from pilotage_kube.resource import PODS
from pilotage_kube.snapshot_publisher import SnapshotPublisher

PICKER_NAME = "pilotage-extproc"
"""The name in the certificates that pickers make for themselves."""
DESTINATION = "x-gateway-destination-endpoint"


def pool_of(
    namespace: str,
    name: str = "small",
    *,
    labels: dict[str, str] | None = None,
    ports: tuple[int, ...] = (8000,),
    endpoints: tuple[tuple[str, int], ...] = (),
) -> PoolSnapshot:
    """A pool of one model; by default it selects pods with the label `app` of its own name."""
    selector = {} if endpoints else labels or {"app": name}
    return PoolSnapshot(
        key=f"{namespace}/{name}",
        engine=Engine.OPENAI,  # nothing is scraped: nobody listens at these addresses
        endpoints=tuple(EndpointSnapshot(address=address, port=port) for address, port in endpoints),
        selector=selector,
        target_ports=ports if selector else (),
        stream_usage=StreamUsage.LEAVE,
        models=(f"model-{name}",),
    )


def snapshot_with(*pools: PoolSnapshot) -> RoutingSnapshot:
    """Each pool's model by its name."""
    names = {
        model: (Binding(pool=pool.key, upstream_model=model, kind=NameKind.MODEL),)
        for pool in pools
        for model in pool.models
    }
    return RoutingSnapshot(pools=pools, names=names).sealed()


def status_of(ip: str, *, ready: bool = True, phase: str = "Running") -> dict[str, Any]:
    """What a kubelet says of a pod."""
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {"phase": phase, "podIP": ip, "podIPs": [{"ip": ip}], "conditions": conditions}


class Pods:
    """Pods of one namespace whose kubelet is the test."""

    def __init__(self, client: ApiClient, namespace: str) -> None:
        self._client = client
        self.namespace = namespace

    async def add(self, name: str, ip: str, *, app: str = "small", ready: bool = True) -> None:
        container = {"name": "server", "image": "server"}
        body = PODS.object(
            name,
            metadata={"labels": {"app": app}},
            spec={"containers": [container], "nodeName": "node"},
        )
        await self._client.create(PODS, body, self.namespace)
        await self.say(name, status_of(ip, ready=ready))

    async def say(self, name: str, status: dict[str, Any]) -> None:
        await self._client.merge(PODS, name, {"status": status}, self.namespace, subresource="status")

    async def terminate(self, name: str) -> None:
        """Tell it to go: it stays, terminating, since no kubelet confirms its end."""
        await self._client.delete(PODS, name, self.namespace)

    async def remove(self, name: str) -> None:
        """It is gone."""
        await self._client.request("DELETE", PODS.path(self.namespace, name), body={"gracePeriodSeconds": 0})


class Cluster:
    """A picker's view of a cluster, with its own namespace for everything."""

    def __init__(self, picker: ClusterPicker, publisher: SnapshotPublisher) -> None:
        self.picker = picker
        self.publisher = publisher
        self._stopped = False

    @property
    def runtime(self) -> Any:
        return self.picker.server.runtime

    @property
    def follower(self) -> Any:
        return self.picker.follower

    def addresses(self, pool: str) -> set[str]:
        """What may be picked of a pool, by the routing index and the endpoint table."""
        rule = self.runtime.deciding.current.index.pool_rules.get(pool)
        if rule is None:
            return set()
        table = self.runtime.state.table
        return {
            target.address
            for target in rule.route.candidates.targets
            if table.admitted[target.row] and not table.draining[target.row]
        }

    async def has(self, pool: str, *addresses: str, seconds: float = 15.0) -> float:
        """Until exactly these may be picked; how long that took."""
        return await until(
            lambda: self.addresses(pool) == set(addresses), seconds, f"{pool} has {self.addresses(pool)}"
        )

    async def stop(self) -> None:
        """End the picker gracefully, once."""
        if not self._stopped:
            self._stopped = True
            await self.picker.stop()

    async def ready(self) -> None:
        await until(self.picker.server.view.ready)


def settings_for(namespace: str, **more: Any) -> GatewaySettings:
    """Everything on loopback and in one namespace."""
    listen = {"extproc": "127.0.0.1:0", "admin": "127.0.0.1:0", "gateway": "127.0.0.1:0"}
    own = {"namespace": namespace, **more.pop("kubernetes", {})}
    return GatewaySettings.model_validate(
        {
            "namespaces": [namespace],
            "listen": listen,
            "kubernetes": own,
            "publishHoldSeconds": 0,
            "drainSeconds": 5,
            **more,
        }
    )


@asynccontextmanager
async def picker_in(
    connection: Connection, client: ApiClient, namespace: str, replica: str = "pod-a", **settings: Any
) -> AsyncIterator[Cluster]:
    """A picker that follows a namespace; `client` publishes there as an operator would."""
    picker = ClusterPicker(connection, settings_for(namespace, **settings), replica=replica, environment={})
    await picker.start()
    cluster = Cluster(picker, SnapshotPublisher(client, namespace=namespace))
    try:
        yield cluster
    finally:
        await cluster.stop()


def head(path: str = "/v1/chat/completions", **headers: str) -> ext_proc_pb2.ProcessingRequest:
    """How a gateway begins a request with a body."""
    message = ext_proc_pb2.ProcessingRequest()
    message.protocol_config.request_body_mode = 2
    values = {":method": "POST", ":path": path, "content-type": "application/json", **headers}
    for key, value in values.items():
        message.request_headers.headers.headers.add(key=key, raw_value=value.encode())
    return message


class Gateway:
    """A third-party gateway's streams to one port of a picker."""

    def __init__(self, address: str, certificate: str = "") -> None:
        if certificate:
            credentials = grpc.ssl_channel_credentials(root_certificates=certificate.encode())
            options = (("grpc.ssl_target_name_override", PICKER_NAME),)
            self._channel = grpc.aio.secure_channel(address, credentials, options)
        else:
            self._channel = grpc.aio.insecure_channel(address)
        self.process: Callable[..., Any] = self._channel.stream_stream(
            "/envoy.service.ext_proc.v3.ExternalProcessor/Process",
            request_serializer=ext_proc_pb2.ProcessingRequest.SerializeToString,
            response_deserializer=ext_proc_pb2.ProcessingResponse.FromString,
        )

    async def ask(self, model: str, **headers: str) -> tuple[int, list[str], bytes]:
        """HTTP status (200 for a pick), the endpoints picked, and the body as changed or answered."""
        call = self.process()
        await call.write(head(**headers))
        first = await call.read()
        if first.HasField("immediate_response"):
            return first.immediate_response.status.code, [], first.immediate_response.body
        body = ext_proc_pb2.ProcessingRequest()
        messages = [{"role": "user", "content": "hello"}]
        body.request_body.body = json.dumps({"model": model, "messages": messages}).encode()
        body.request_body.end_of_stream = True
        await call.write(body)
        second = await call.read()
        await call.done_writing()
        call.cancel()
        if second.HasField("immediate_response"):
            return second.immediate_response.status.code, [], second.immediate_response.body
        changed = second.request_body.response
        headers_set = {
            one.header.key: one.header.raw_value.decode() for one in changed.header_mutation.set_headers
        }
        return 200, headers_set[DESTINATION].split(","), changed.body_mutation.body

    async def close(self) -> None:
        await self._channel.close()


@asynccontextmanager
async def gateway_at(address: str, certificate: str = "") -> AsyncIterator[Gateway]:
    """A gateway; with the picker's certificate (PEM), over TLS."""
    gateway = Gateway(address, certificate)
    try:
        yield gateway
    finally:
        await gateway.close()
        await asyncio.sleep(0)
