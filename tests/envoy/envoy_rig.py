"""A real Envoy between scripted model servers and a picker that does what the test says."""

import asyncio
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc_pb2
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from scripted_server import Answer, ModelServer, Received, chunk, fixed, stream_head

from pilotage_api.settings import GatewaySettings, Transport
from pilotage_api.snapshot import (
    Binding,
    Engine,
    NameKind,
    PoolSnapshot,
    RoutingSnapshot,
    StreamUsage,
)
from pilotage_cli.gateway.envoy import EnvoyProcess
from pilotage_cli.gateway.identity import written_identity
from pilotage_extproc.dialects.translation.translator import ProviderTranslator
from pilotage_extproc.domain.failed_attempt import FailedAttempt
from pilotage_extproc.domain.refusals import RequestRefused
from pilotage_extproc.envoy.access_log import LoggedRequest, access_log_service
from pilotage_extproc.envoy.announcements import Announcement, announcement_service
from pilotage_extproc.envoy.contract import (
    CLUSTER_TYPE,
    DESTINATION,
    MODELS_CLUSTER,
    PROVIDER_ROLE,
    REWRITE_ROLE,
    ROLE_HEADER,
)
from pilotage_extproc.envoy.ext_proc import messages
from pilotage_extproc.envoy.ext_proc.attempt_rewrite import AttemptRewriter
from pilotage_extproc.envoy.ext_proc.body_budget import BodyBudget
from pilotage_extproc.envoy.ext_proc.provider_hop import ProviderHop
from pilotage_extproc.envoy.xds.ads import XdsServer
from pilotage_extproc.envoy.xds.bootstrap import build_bootstrap
from pilotage_extproc.envoy.xds.resources import served_resources
from pilotage_extproc.request.attempt import Attempt
from pilotage_extproc.rules.attempt_table import AttemptTable, AttemptTables
from pilotage_extproc.server.grpc_port import EXT_PROC_SERVICE, GrpcPort
from pilotage_extproc.server.tls import port_certificate
from pilotage_extproc.transport.contract import Method, Service, Stream

__all__ = [
    "CHAT",
    "CHAT_BODY",
    "TRANSPORT",
    "Answer",
    "Choice",
    "ModelServer",
    "Received",
    "Rig",
    "ScriptedPick",
    "chunk",
    "fixed",
    "pick",
    "snapshot_of",
    "stream_head",
]

TRANSPORT = Transport(os.environ.get("PILOTAGE_TEST_TRANSPORT", "builtin"))
"""The gRPC server that extproc runs on."""
CHAT = "/v1/chat/completions"
CHAT_BODY = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


@dataclass
class ScriptedPick:
    """What an answer that carries a pick says."""

    headers: Mapping[str, str]
    body: bytes | None
    metadata: Mapping[str, Mapping[str, Any]]
    snapshot: RoutingSnapshot | None
    """What later attempts are looked up in."""

    def answer(self, *, on_body: bool) -> bytes:
        response = ext_proc_pb2.ProcessingResponse()
        common = (response.request_body if on_body else response.request_headers).response
        common.clear_route_cache = True
        if not on_body:
            common.header_mutation.remove_headers.extend((*messages.INPUT_HEADERS, DESTINATION))
        for key, value in self.headers.items():
            option = common.header_mutation.set_headers.add(append_action=messages.OVERWRITE)
            option.header.key = key
            option.header.raw_value = value.encode()
        if self.body is not None:
            common.body_mutation.body = self.body
        response.dynamic_metadata.update(self.metadata)
        return response.SerializeToString()


Choice = ScriptedPick | RequestRefused | None
"""A pick, a refusal, or None: the answer is never sent."""


def snapshot_of(models: Iterable[str]) -> RoutingSnapshot:
    """One pool that serves these models."""
    pool = PoolSnapshot(
        key="default/a",
        engine=Engine.OPENAI,
        endpoints=(),
        stream_usage=StreamUsage.LEAVE,
        models=tuple(models),
    )
    names = {
        model: (Binding(pool=pool.key, upstream_model=model, kind=NameKind.MODEL),) for model in pool.models
    }
    return RoutingSnapshot(pools=(pool,), names=names).sealed()


def pick(
    *addresses: str,
    decision: str = "p1-1",
    rebind: Mapping[str, str] | None = None,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, Any] | None = None,
) -> ScriptedPick:
    """What the real processor answers for these endpoints, in order."""
    ours: dict[str, Any] = {"decision": decision, "owner": "p1", **(more or {})}
    snapshot = None
    if rebind:
        snapshot = snapshot_of(sorted(set(rebind.values())))
        table = AttemptTable(snapshot)
        numbers = {
            address: table.number(Attempt.at(snapshot.pools[0], model)) for address, model in rebind.items()
        }
        ours |= {"snapshot": snapshot.version, "attempts": numbers, "usage_edit": 0}
    set_headers = {
        "x-envoy-max-retries": str(len(addresses) - 1),
        "x-pilotage-decision": decision,
        **(headers or {}),
    }
    if body is not None:
        set_headers["content-length"] = str(len(body))
    metadata = {"envoy.lb": {"x-gateway-destination-endpoint": ",".join(addresses)}, "pilotage": ours}
    return ScriptedPick(set_headers, body, metadata, snapshot)


@dataclass
class Rig:
    """Envoy, an extproc of the real parts around a scripted choice, and what came of requests."""

    settings: GatewaySettings
    choose: Callable[[Mapping[str, str], bytes], Choice]
    models_cluster: dict[str, Any] | None = None
    """Served instead of today's."""
    entries: list[LoggedRequest] = field(default_factory=list)
    failed: list[FailedAttempt] = field(default_factory=list)
    announced: list[Announcement] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)
    replies: list[str] = field(default_factory=list)
    picker_metadata: list[dict[str, str]] = field(default_factory=list)
    rewritten: int = 0
    rewrite_streams: int = 0
    hop_streams: int = 0

    def __post_init__(self) -> None:
        self.extproc = GrpcPort(port_certificate(self.settings.tls), TRANSPORT)
        self.bodies = BodyBudget(max_bytes=256 << 20, max_total_bytes=1 << 30)
        served = served_resources(self.settings)
        if self.models_cluster is not None:
            for one in served.values():
                one[CLUSTER_TYPE][MODELS_CLUSTER] = bytes(Cluster.from_dict(self.models_cluster))
        self.xds = XdsServer(
            served,
            on_acknowledged=self.acknowledged.update,
            on_reply=self.replies.append,
            trusted_name=self.settings.tls.envoy_name,
        )
        self.attempts = AttemptTables()
        self.pools: dict[str, PoolSnapshot] = {}
        """Pools whose providers may be asked, by key."""
        self.hop = ProviderHop(self.pools.get, ProviderTranslator())
        self.rewriter = AttemptRewriter(self.attempts, self._count_rewritten)
        self.url = ""
        self.port = 0
        self.extproc_port = 0
        self.envoy: EnvoyProcess | None = None
        self.identity: str | None = None
        self.session: aiohttp.ClientSession | None = None

    async def serve(self, addresses: list[str], fail_open: tuple[str, ...] = (), port: int = 0) -> None:
        """Start extproc alone."""
        self.extproc.add(
            Service(EXT_PROC_SERVICE, {"Process": Method(self._process, room=self.bodies)}),
            access_log_service(self.entries.append, self.failed.append),
            announcement_service(self.announced.append),
            self.xds.service(),
        )
        self.extproc.set_serving(serving=True)
        self.extproc_port = await self.extproc.start("127.0.0.1", port)
        self.xds.publish(addresses, fail_open)

    async def start(
        self,
        addresses: list[str],
        fail_open: tuple[str, ...] = (),
        peers: Sequence[tuple[str, int]] = (),
    ) -> None:
        """Start extproc, and an Envoy that asks it."""
        await self.serve(addresses, fail_open)
        self.identity = written_identity(self.settings.tls)
        bootstrap = build_bootstrap(
            self.settings,
            envoy_name="envoy-1",
            extproc=("127.0.0.1", self.extproc_port),
            peers=peers,
            gateway=("127.0.0.1", 0),
            admin=("127.0.0.1", 0),
            identity=self.identity,
        )
        self.envoy = EnvoyProcess(bootstrap, concurrency=1)
        await self.envoy.start()
        await self.envoy.wait_ready()
        self.port = (await self.envoy.listener_ports())["gateway"]
        scheme = "https" if self.settings.tls.gateway else "http"
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self.session = aiohttp.ClientSession()

    async def stop(self) -> None:
        if self.session is not None:
            await self.session.close()
        if self.envoy is not None:
            print(*self.envoy.last_lines, sep="\n")  # pytest shows it where a test failed
            await self.envoy.stop()
        if self.identity is not None:
            shutil.rmtree(self.identity)
        await self.extproc.stop(None)

    async def _process(self, stream: Stream) -> None:
        metadata = dict(stream.invocation_metadata())
        if metadata.get(ROLE_HEADER) == REWRITE_ROLE:
            self.rewrite_streams += 1
            await self.rewriter.process(stream)
            return
        if metadata.get(ROLE_HEADER) == PROVIDER_ROLE:
            self.hop_streams += 1
            await self.hop.process(stream)
            return
        self.picker_metadata.append(metadata)
        head: Mapping[str, str] = {}
        while (raw := await stream.read()) is not None:
            message = ext_proc_pb2.ProcessingRequest.FromString(raw)
            ended = True
            if message.HasField("request_headers"):
                head = messages.header_map(message.request_headers.headers.headers)
                ended = message.request_headers.end_of_stream
            if not ended:
                await stream.write(messages.CONTINUE_REQUEST_HEADERS)
                continue
            choice = self.choose(head, message.request_body.body)
            if choice is None:
                await asyncio.Event().wait()
            elif isinstance(choice, RequestRefused):
                await stream.write(messages.refusal(choice))
            else:
                if choice.snapshot is not None:
                    self.attempts.of(choice.snapshot)
                await stream.write(choice.answer(on_body=message.HasField("request_body")))
            return

    def _count_rewritten(self) -> None:
        self.rewritten += 1

    async def chat(self, body: object = CHAT_BODY, **headers: str) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of a chat call."""
        assert self.session is not None
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"content-type": "application/json"}
        sent.update({key.replace("_", "-"): value for key, value in headers.items()})
        async with self.session.post(self.url + CHAT, data=raw, headers=sent) as answer:
            return answer.status, answer.headers, await answer.read()

    async def attempts_failed(self, count: int = 1) -> list[FailedAttempt]:
        """The log of failed attempts, once there are `count`."""
        async with asyncio.timeout(30):
            while len(self.failed) < count:
                await asyncio.sleep(0.01)
        return self.failed

    async def logged(self, count: int = 1) -> list[LoggedRequest]:
        """The access log's entries, once there are `count`."""
        async with asyncio.timeout(30):
            while len(self.entries) < count:
                await asyncio.sleep(0.01)
        return self.entries
