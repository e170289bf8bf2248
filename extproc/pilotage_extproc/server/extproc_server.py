"""The gRPC port and the admin address of one extproc process, from start to drained."""

import asyncio
import logging
from collections.abc import Iterable

from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import RoutingSnapshot
from pilotage_extproc.envoy.access_log import access_log_service
from pilotage_extproc.envoy.announcements import announcement_service
from pilotage_extproc.server.addresses import AddressError, join_address, split_address
from pilotage_extproc.server.admin import AdminServer
from pilotage_extproc.server.admin_view import RuntimeView
from pilotage_extproc.server.grpc_port import GrpcPort, ext_proc_service
from pilotage_extproc.server.pool_ports import PoolPorts
from pilotage_extproc.server.runtime import Runtime
from pilotage_extproc.settlement.peers import peer_service
from pilotage_extproc.transport.contract import Service
from pilotage_extproc.transport.proven import proven
from pilotage_kube.client import ApiClient

log = logging.getLogger(__name__)


class ExtProcServer:
    """Serves ext_proc, access log, xDS, peers and health on one port."""

    def __init__(
        self, settings: GatewaySettings, *, process_id: str | None = None, cluster: ApiClient | None = None
    ) -> None:
        """With `cluster`, pools may select pods there."""
        self.runtime = Runtime(settings, process_id=process_id, cluster=cluster)
        self.view = RuntimeView(self.runtime)
        self._settings = settings
        self._port = GrpcPort(self.runtime.certificate, settings.transport)
        self.pool_ports = PoolPorts(
            self.runtime.processor,
            split_address(settings.listen.extproc)[0],
            self.runtime.certificate,
            settings.transport,
        )
        self._admin = AdminServer(self.view, settings.listen.admin, settings.admin_token_file)
        self.address = settings.listen.extproc
        """Where the gRPC port is; with the real port once started."""

    @property
    def admin_address(self) -> str:
        """Where the admin address is; with the real port once started."""
        host, _ = split_address(self._settings.listen.admin)
        return join_address(host, self._admin.port)

    async def start(self) -> None:
        """Listen. Raises AddressError where an address is taken or cannot be used, TlsError."""
        self._port.add(*self._services())
        host, port = split_address(self._settings.listen.extproc)
        try:
            bound = await self._port.start(host, port)
        except RuntimeError as error:
            raise AddressError(
                f"listen.extproc {self._settings.listen.extproc} cannot be used: {error}"
            ) from None
        self.address = join_address(host, bound)
        try:
            await self._admin.start()
        except OSError as error:
            await self._port.stop(None)
            raise AddressError(
                f"listen.admin {self._settings.listen.admin} cannot be used: {error.strerror}"
            ) from None
        self.runtime.start()
        log.info("listening", extra={"extproc": self.address, "admin": self.admin_address})

    def _services(self) -> Iterable[Service]:
        """All of them; with mutual TLS only ext_proc takes callers that have not proven who they are."""
        runtime, tls = self.runtime, self._settings.tls
        yield ext_proc_service(runtime.processor, runtime.rewriter, runtime.hop, tls.envoy_name)
        for of_envoys in (
            access_log_service(runtime.take_log_entry, runtime.take_failed_attempt, runtime.take_log_copy),
            announcement_service(runtime.take_announcement),
            runtime.xds.service(),
        ):
            yield proven(of_envoys, tls.envoy_name)
        of_peers = peer_service(
            runtime.process_id,
            settle=runtime.settler.settle,
            learn=runtime.learn_from,
            explain=self.view.explain_here,
            hear=runtime.hear,
        )
        yield proven(of_peers, tls.picker_name)

    async def apply(self, snapshot: RoutingSnapshot) -> None:
        """Follow a snapshot; the first makes the process ready."""
        await self.runtime.following.apply(snapshot)
        if not self.view.draining:
            self._set_serving(serving=True)

    async def drain(self) -> None:
        """Tell balancers to go elsewhere and wait for the requests under way, at most `drainSeconds`."""
        self.view.drains()
        self._set_serving(serving=False)
        self.runtime.deciding.line.close()
        loop = asyncio.get_running_loop()
        until = loop.time() + self._settings.drain_seconds
        while self.runtime.processor.open_streams and loop.time() < until:
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """Stop listening; streams that are still open are ended."""
        await asyncio.gather(self._port.stop(0.2), self.pool_ports.stop(0.2))
        await self._admin.stop()
        await self.runtime.stop()

    def _set_serving(self, *, serving: bool) -> None:
        self._port.set_serving(serving=serving)
        self.pool_ports.set_serving(serving=serving)
