"""One gRPC port with its health service, and the handler of ext_proc."""

from collections.abc import Callable

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from pilotage_extproc.envoy.contract import CONTRACT_HEADER, ENVOY_HEADER, REWRITE_ROLE, ROLE_HEADER
from pilotage_extproc.envoy.ext_proc.attempt_rewrite import AttemptRewriter
from pilotage_extproc.envoy.ext_proc.processor import Processor
from pilotage_extproc.envoy.ext_proc.request_stream import Asker
from pilotage_extproc.envoy.ext_proc.stream import Stream
from pilotage_extproc.server.addresses import join_address
from pilotage_extproc.server.tls import PortCertificate

EXT_PROC_SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"
_UNREADY_NAMES = (health.OVERALL_HEALTH, "readiness", EXT_PROC_SERVICE)
_OPTIONS = (
    ("grpc.max_receive_message_length", -1),  # bodies are bounded by the settings, with a typed answer
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),  # a second process on the port must be an error, not half the requests
    ("grpc.max_concurrent_streams", 100_000),
)


class GrpcPort:
    """A gRPC server on one port. Live from the start; not ready until `set_serving`."""

    def __init__(self, certificate: PortCertificate | None) -> None:
        """Without a certificate it is plaintext."""
        self._certificate = certificate
        self._server = grpc.aio.server(options=_OPTIONS)
        self._health = HealthServicer()

    def add(self, *handlers: grpc.GenericRpcHandler) -> None:
        """Serve these; before `start`."""
        self._server.add_generic_rpc_handlers(handlers)

    async def start(self, host: str, port: int) -> int:
        """Listen; the real port. Raises RuntimeError where the address cannot be used, TlsError."""
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        await self._set(_UNREADY_NAMES, serving=False)
        await self._set(("liveness",), serving=True)
        address = join_address(host, port)
        if self._certificate is None:
            bound = self._server.add_insecure_port(address)
        else:
            bound = self._server.add_secure_port(address, self._certificate.credentials())
        await self._server.start()
        return bound

    async def set_serving(self, *, serving: bool) -> None:
        """What the health service says of readiness."""
        await self._set(_UNREADY_NAMES, serving=serving)

    async def stop(self, grace_seconds: float | None) -> None:
        """Stop listening; streams still open after the grace are ended."""
        await self._server.stop(grace_seconds)

    async def _set(self, names: tuple[str, ...], *, serving: bool) -> None:
        status = health_pb2.HealthCheckResponse.ServingStatus
        for name in names:
            await self._health.set(name, status.SERVING if serving else status.NOT_SERVING)


def ext_proc_handler(processor: Processor, rewriter: AttemptRewriter) -> grpc.GenericRpcHandler:
    """ext_proc for any pool, of bundled Envoys and of others."""

    async def process(_requests: object, context: Stream) -> None:
        metadata = dict(context.invocation_metadata() or ())
        if metadata.get(ROLE_HEADER) == REWRITE_ROLE:
            await rewriter.process(context)
        else:
            contract = str(metadata.get(CONTRACT_HEADER, "1"))
            await processor.process(context, Asker(metadata.get(ENVOY_HEADER), contract))

    return _service(process)


def pool_ext_proc_handler(processor: Processor, pool: Callable[[], str]) -> grpc.GenericRpcHandler:
    """ext_proc for one pool, which the gateway has fixed by asking on this port."""

    async def process(_requests: object, context: Stream) -> None:
        await processor.process(context, Asker(pool=pool()))

    return _service(process)


def _service(process: Callable[..., object]) -> grpc.GenericRpcHandler:
    method: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(process)
    return grpc.method_handlers_generic_handler(EXT_PROC_SERVICE, {"Process": method})
