"""The gRPC port and the admin address of one extproc process, from start to drained."""

import asyncio
import logging

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import RoutingSnapshot
from pilotage_extproc.protocol.access_log import access_log_handler
from pilotage_extproc.protocol.contracts import Stream
from pilotage_extproc.protocol.rebind import serve_rebind
from pilotage_extproc.server.addresses import AddressError, join_address, split_address
from pilotage_extproc.server.admin import AdminServer
from pilotage_extproc.server.runtime import Runtime
from pilotage_extproc.server.tls import server_credentials
from pilotage_extproc.server.view import RuntimeView
from pilotage_extproc.settlement.peers import peer_service
from pilotage_extproc.xds.names import ENVOY_HEADER, REBIND_ROLE, ROLE_HEADER

log = logging.getLogger(__name__)

EXT_PROC_SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"
HEALTH_NAMES = (health.OVERALL_HEALTH, "liveness", "readiness", EXT_PROC_SERVICE)
_UNREADY_NAMES = (health.OVERALL_HEALTH, "readiness", EXT_PROC_SERVICE)
_OPTIONS = (
    ("grpc.max_receive_message_length", -1),  # bodies are bounded by the settings, with a typed answer
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),  # a second process on the port must be an error, not half the requests
    ("grpc.max_concurrent_streams", 100_000),
)


class ExtProcServer:
    """Serves ext_proc, access log, xDS, peers and health on one port."""

    def __init__(self, settings: GatewaySettings, *, process_id: str | None = None) -> None:
        self.runtime = Runtime(settings, process_id=process_id)
        self.view = RuntimeView(self.runtime)
        self._settings = settings
        self._server = grpc.aio.server(options=_OPTIONS)
        self._health = HealthServicer()
        self._admin = AdminServer(self.view, settings.listen.admin, settings.admin_token_file)
        self.address = settings.listen.extproc
        """Where the gRPC port is; with the real port once started."""

    @property
    def admin_address(self) -> str:
        """Where the admin address is; with the real port once started."""
        host, _ = split_address(self._settings.listen.admin)
        return join_address(host, self._admin.port)

    async def start(self) -> None:
        """Listen. Raises AddressError where an address is taken or cannot be used."""
        runtime = self.runtime
        self._server.add_generic_rpc_handlers(
            (
                self._ext_proc_handler(),
                access_log_handler(runtime.take_log_entry),
                runtime.xds.handler(),
                peer_service(
                    runtime.process_id,
                    settle=runtime.settle_for_peer,
                    learn=runtime.pipeline.learn,
                    explain=self.view.explain_here,
                ),
            )
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        await self._set_health(_UNREADY_NAMES, serving=False)
        await self._set_health(("liveness",), serving=True)
        host, port = split_address(self._settings.listen.extproc)
        try:
            bound = self._bind(join_address(host, port))
        except RuntimeError as error:
            raise AddressError(
                f"listen.extproc {self._settings.listen.extproc} cannot be used: {error}"
            ) from None
        await self._server.start()
        self.address = join_address(host, bound)
        try:
            await self._admin.start()
        except OSError as error:
            await self._server.stop(None)
            raise AddressError(
                f"listen.admin {self._settings.listen.admin} cannot be used: {error.strerror}"
            ) from None
        runtime.start()
        log.info("listening", extra={"extproc": self.address, "admin": self.admin_address})

    def _bind(self, address: str) -> int:
        tls = self._settings.tls.extproc
        if tls is None:
            return self._server.add_insecure_port(address)
        return self._server.add_secure_port(address, server_credentials(tls))

    async def apply(self, snapshot: RoutingSnapshot) -> None:
        """Follow a snapshot; the first makes the process ready."""
        await self.runtime.apply(snapshot)
        if not self.view.draining:
            await self._set_health(_UNREADY_NAMES, serving=True)

    async def drain(self) -> None:
        """Tell balancers to go elsewhere and wait for the requests under way, at most `drainSeconds`."""
        self.view.draining = True
        await self._set_health(_UNREADY_NAMES, serving=False)
        loop = asyncio.get_running_loop()
        until = loop.time() + self._settings.drain_seconds
        while self.runtime.processor.open_streams and loop.time() < until:
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """Stop listening; streams that are still open are ended."""
        await self._server.stop(0.2)
        await self._admin.stop()
        await self.runtime.stop()

    async def _set_health(self, names: tuple[str, ...], *, serving: bool) -> None:
        status = health_pb2.HealthCheckResponse.ServingStatus
        for name in names:
            await self._health.set(name, status.SERVING if serving else status.NOT_SERVING)

    def _ext_proc_handler(self) -> grpc.GenericRpcHandler:
        processor, rebinds = self.runtime.processor, self.runtime.telemetry.rebinds

        async def process(_requests: object, context: Stream) -> None:
            metadata = dict(context.invocation_metadata() or ())
            if metadata.get(ROLE_HEADER) == REBIND_ROLE:
                await serve_rebind(context, rebinds.add)
            else:
                await processor.process(context, metadata.get(ENVOY_HEADER))

        method: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(process)
        return grpc.method_handlers_generic_handler(EXT_PROC_SERVICE, {"Process": method})
