"""One gRPC port with its health service, and the service of ext_proc."""

from collections.abc import Awaitable, Callable
from functools import lru_cache

from pilotage_api.settings import Transport
from pilotage_extproc.domain.reach import Reach
from pilotage_extproc.envoy.contract import (
    CONTRACT_HEADER,
    ENVOY_HEADER,
    PROVIDER_ROLE,
    REWRITE_ROLE,
    ROLE_HEADER,
)
from pilotage_extproc.envoy.ext_proc.attempt_rewrite import AttemptRewriter
from pilotage_extproc.envoy.ext_proc.processor import Processor
from pilotage_extproc.envoy.ext_proc.provider_hop import ProviderHop
from pilotage_extproc.envoy.ext_proc.request_stream import Asker
from pilotage_extproc.server.health import Health
from pilotage_extproc.server.tls import PortCertificate
from pilotage_extproc.transport.contract import Handler, Method, Port, Service, Stream
from pilotage_extproc.transport.grpcio import GrpcioPort
from pilotage_extproc.transport.proven import must_be
from pilotage_extproc.transport.server import BuiltinPort
from pilotage_extproc.transport.stepped import by_steps

EXT_PROC_SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"
_MOST_ASKERS = 256
_UNREADY_NAMES = ("", "readiness", EXT_PROC_SERVICE)


class GrpcPort:
    """A gRPC server on one port. Live from the start; not ready until `set_serving`."""

    def __init__(self, certificate: PortCertificate | None, transport: Transport) -> None:
        """Without a certificate it is plaintext."""
        self._certificate = certificate
        self._transport = transport
        self._services: list[Service] = []
        self._port: Port | None = None
        self._health = Health()
        self._health.set(*_UNREADY_NAMES, serving=False)
        self._health.set("liveness", serving=True)

    def add(self, *services: Service) -> None:
        """Serve these; before `start`."""
        self._services += services

    async def start(self, host: str, port: int) -> int:
        """Listen; the real port. Raises RuntimeError where the address cannot be used, TlsError."""
        made = port_of(self._transport, self._certificate)
        made.add(*self._services, self._health.service())
        self._port = made
        return await made.start(host, port)

    def set_serving(self, *, serving: bool) -> None:
        """What the health service says of readiness."""
        self._health.set(*_UNREADY_NAMES, serving=serving)

    async def stop(self, grace_seconds: float | None) -> None:
        """Stop listening; streams still open after the grace are ended."""
        if self._port is not None:
            await self._port.stop(grace_seconds)


def port_of(transport: Transport, certificate: PortCertificate | None) -> Port:
    """A port on this transport; without a certificate it is plaintext. Raises TlsError."""
    if transport is Transport.BUILTIN:
        return BuiltinPort(None if certificate is None else certificate.context())
    return GrpcioPort(None if certificate is None else certificate.credentials())


def ext_proc_service(
    processor: Processor, rewriter: AttemptRewriter, hop: ProviderHop, trusted_name: str = ""
) -> Service:
    """ext_proc for any pool, of bundled Envoys and of others.

    With `trusted_name` a caller is a bundled Envoy only where its verified certificate has that name.
    """

    asker = lru_cache(_MOST_ASKERS)(_asker)

    async def of_a_role(stream: Stream, serve: Handler) -> None:
        must_be(trusted_name, stream)
        await serve(stream)

    def process(stream: Stream) -> Awaitable[None]:
        metadata = stream.invocation_metadata()
        role = metadata.get(ROLE_HEADER)
        if role == REWRITE_ROLE:
            return of_a_role(stream, rewriter.process)
        if role == PROVIDER_ROLE:
            return of_a_role(stream, hop.process)
        contract, envoy = metadata.get(CONTRACT_HEADER, "1"), metadata.get(ENVOY_HEADER)
        trusted = trusted_name in stream.peer_names()
        if trusted_name and not trusted:
            envoy = None
        return processor.process(stream, asker(envoy, contract, trusted))

    return _service(processor, process)


def _asker(envoy: str | None, contract: str, trusted: bool) -> Asker:
    if envoy is None:
        return Asker(None, contract)
    return Asker(envoy, contract, reach=Reach.of(contract, trusted=trusted))


def pool_ext_proc_service(processor: Processor, pool: Callable[[], str]) -> Service:
    """ext_proc for one pool, which the gateway has fixed by asking on this port."""

    def process(stream: Stream) -> Awaitable[None]:
        return processor.process(stream, Asker(pool=pool()))

    return _service(processor, process)


def _service(processor: Processor, process: Handler) -> Service:
    method = Method(process, room=processor.bodies, receiver=by_steps(process))
    return Service(EXT_PROC_SERVICE, {"Process": method})
