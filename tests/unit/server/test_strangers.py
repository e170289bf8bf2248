"""Who has proven nothing gets picks at the picker's port, and nothing else, where TLS is mutual."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from certificates import Authority
from envoy.service.discovery.v3 import discovery_pb2
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from pilotage_api.settings import GatewaySettings, Transport
from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.envoy import access_log
from pilotage_extproc.envoy.contract import (
    ANNOUNCE_METHOD,
    ANNOUNCE_SERVICE,
    CLUSTER_TYPE,
    CONTRACT,
    CONTRACT_HEADER,
    ENVOY_HEADER,
    PROVIDER_ROLE,
    REWRITE_ROLE,
    ROLE_HEADER,
)
from pilotage_extproc.envoy.xds import ads
from pilotage_extproc.server.extproc_server import ExtProcServer
from pilotage_extproc.server.grpc_port import EXT_PROC_SERVICE
from pilotage_extproc.settlement.link import SERVICE as PEERS
from pilotage_extproc.settlement.peers import Peers
from pilotage_extproc.telemetry.metrics import Telemetry

OWN_NAMES = "pilotage-envoy", "pilotage-extproc"
INTERNAL = (
    f"/{ads.SERVICE}/StreamAggregatedResources",
    f"/{access_log.SERVICE}/StreamAccessLogs",
    f"/{ANNOUNCE_SERVICE}/{ANNOUNCE_METHOD}",
    *(f"/{PEERS}/{method}" for method in ("Hello", "Deliver", "Explain", "Tell")),
)
"""What only the gateway's own parts call."""
EXT_PROC = f"/{EXT_PROC_SERVICE}/Process"


class Gateway:
    """A picker, and callers of its port."""

    def __init__(self, folder: Path) -> None:
        self._authority = Authority()
        self._folder = folder
        (folder / "ca.pem").write_text(self._authority.certificate)

    def files(self, name: str, authority: Authority | None = None) -> dict[str, str]:
        issuer = authority or self._authority
        certificate, key = issuer.issue(name, "tests", timedelta(days=1), hosts=[name])
        (self._folder / f"{name}.pem").write_text(certificate)
        (self._folder / f"{name}.key").write_text(key)
        return {"certFile": str(self._folder / f"{name}.pem"), "keyFile": str(self._folder / f"{name}.key")}

    async def start(
        self, transport: Transport = Transport.BUILTIN, *, required: bool = False, **more: object
    ) -> None:
        mutual = {"caFile": str(self._folder / "ca.pem"), "requireCertificates": required}
        tls = {
            "extproc": self.files("pilotage-extproc"),
            "envoy": {**mutual, **self.files("pilotage-envoy")},
        }
        listen = {"extproc": "127.0.0.1:0", "admin": "127.0.0.1:0"}
        raw = {"tls": tls, "listen": listen, "transport": transport.value, **more}
        self.settled: list[str] = []
        self.server = ExtProcServer(GatewaySettings.model_validate(raw), process_id="p1")
        self.server.runtime.settler.settle = lambda outcome: self.settled.append(outcome.decision_id)
        await self.server.start()

    def caller(self, shown: str | None) -> grpc.aio.Channel:
        """A connection that shows the certificate of this name, or none."""
        files = None if shown is None else self.files(shown)
        credentials = grpc.ssl_channel_credentials(
            self._authority.certificate.encode(),
            None if files is None else Path(files["keyFile"]).read_bytes(),
            None if files is None else Path(files["certFile"]).read_bytes(),
        )
        options = [("grpc.ssl_target_name_override", "pilotage-extproc")]
        return grpc.aio.secure_channel(self.server.address, credentials, options)


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    made = Gateway(tmp_path)
    await made.start()
    yield made
    await made.server.stop()


async def said(caller: grpc.aio.Channel, method: str, message: bytes, **metadata: str) -> bytes:
    """The first answer to one message of a call that stays open. Raises AioRpcError."""

    async def messages() -> AsyncIterator[bytes]:
        yield message
        await asyncio.Event().wait()

    call = caller.stream_stream(method)(messages(), timeout=10, metadata=tuple(metadata.items()))
    async for answer in call:
        call.cancel()
        return bytes(answer)
    raise AssertionError(await call.code())


async def refusal(caller: grpc.aio.Channel, method: str, **metadata: str) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.unary_unary(method)(b"", timeout=10, metadata=tuple(metadata.items()))
    return refused.value.code()


async def healthy(caller: grpc.aio.Channel) -> bool:
    request = health_pb2.HealthCheckRequest(service="liveness")
    return (await health_pb2_grpc.HealthStub(caller).Check(request, timeout=10)).status == 1


@pytest.mark.parametrize("shown", [None, "somebody-else"])
async def test_a_stranger_gets_nothing_of_the_services_of_envoys_and_peers(gateway, shown):
    async with gateway.caller(shown) as stranger:
        for method in INTERNAL:
            assert await refusal(stranger, method) is grpc.StatusCode.UNAUTHENTICATED, method
        for role in (REWRITE_ROLE, PROVIDER_ROLE):
            asked = await refusal(stranger, EXT_PROC, **{ROLE_HEADER: role, "x-pilotage-provider": "d/p"})
            assert asked is grpc.StatusCode.UNAUTHENTICATED, role
        assert await healthy(stranger)


async def test_a_stranger_is_no_bundled_envoy_whatever_it_says(gateway):
    request = ext_proc_pb2.ProcessingRequest()
    request.request_headers.end_of_stream = True
    for name, value in ((":method", "GET"), (":path", "/v1/models")):
        request.request_headers.headers.headers.add(key=name, raw_value=value.encode())
    says = {ENVOY_HEADER: "envoy-1", CONTRACT_HEADER: CONTRACT}
    async with gateway.caller(None) as stranger, gateway.caller("pilotage-envoy") as envoy:
        for caller, bundled in ((stranger, False), (envoy, True)):
            seen: list[object] = []
            processor = gateway.server.runtime.processor
            real = processor.process

            async def spy(stream, asker, seen=seen, real=real):
                seen.append(asker.envoy)
                await real(stream, asker)

            processor.process = spy
            assert await said(caller, EXT_PROC, request.SerializeToString(), **says)
            processor.process = real
            assert seen == ["envoy-1" if bundled else None]


async def test_envoys_and_peers_get_what_is_theirs_and_not_each_others(gateway):
    asked = discovery_pb2.DiscoveryRequest(type_url=CLUSTER_TYPE).SerializeToString()
    async with gateway.caller("pilotage-envoy") as envoy, gateway.caller("pilotage-extproc") as peer:
        assert b"models" in await said(envoy, INTERNAL[0], asked)
        assert await said(peer, f"/{PEERS}/Hello", b"{}") == b'{"process":"p1"}'
        assert await refusal(envoy, f"/{PEERS}/Explain") is grpc.StatusCode.UNAUTHENTICATED
        assert await refusal(peer, INTERNAL[0]) is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("transport", list(Transport))
async def test_where_certificates_are_required_a_stranger_cannot_even_connect(tmp_path, transport):
    gateway = Gateway(tmp_path)
    await gateway.start(transport, required=True)
    try:
        async with gateway.caller(None) as stranger:
            for method in (*INTERNAL, EXT_PROC, "/grpc.health.v1.Health/Check"):
                assert await refusal(stranger, method) is grpc.StatusCode.UNAVAILABLE
        async with gateway.caller("another-gateway") as other:
            assert await healthy(other)
            assert await refusal(other, INTERNAL[0]) is grpc.StatusCode.UNAUTHENTICATED
        async with gateway.caller("pilotage-extproc") as peer:
            assert await said(peer, f"/{PEERS}/Hello", b"{}") == b'{"process":"p1"}'
    finally:
        await gateway.server.stop()


async def test_peers_prove_to_each_other_who_they_are_after_a_renewal_too(gateway, tmp_path):
    own = gateway.server.runtime.certificate
    assert own is not None
    outcome = Outcome("p1-1", 200, "10.0.0.1:8000", 1, 2.0, 0.5)
    peers = Peers("p2", (gateway.server.address,), Telemetry(), own.leaf, 0.05, own.shown)
    peers.start()
    try:
        for count in (1, 2):
            before = own.leaf()
            async with asyncio.timeout(10):
                while not peers.deliver("p1", outcome):
                    await asyncio.sleep(0.01)
                while len(gateway.settled) < count:
                    await asyncio.sleep(0.01)
            gateway.files("pilotage-extproc")
            assert own.leaf() != before
    finally:
        await peers.stop()


def test_grpcio_takes_callers_that_it_could_not_tell_apart_only_with_certificates(tmp_path):
    files = {"certFile": "c", "keyFile": "k"}
    raw = {"tls": {"extproc": files, "envoy": {"caFile": "a", **files}}, "transport": "grpcio"}
    with pytest.raises(ValueError, match="requireCertificates"):
        GatewaySettings.model_validate(raw)
