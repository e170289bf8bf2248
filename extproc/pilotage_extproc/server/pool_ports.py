"""A gRPC port for each InferencePool: by the port a gateway asks on, the picker knows the pool."""

import asyncio
import logging
from collections.abc import Collection
from dataclasses import dataclass

from pilotage_api.settings import Transport
from pilotage_extproc.envoy.ext_proc.processor import Processor
from pilotage_extproc.server.grpc_port import GrpcPort, pool_ext_proc_service
from pilotage_extproc.server.tls import PortCertificate

log = logging.getLogger(__name__)

MAX_PORTS = 200
_GRACE_SECONDS = 20.0


@dataclass(slots=True, eq=False)
class _Open:
    grpc: GrpcPort
    pool: str


class PoolPorts:
    """Listens on exactly the ports it is told to."""

    def __init__(
        self, processor: Processor, host: str, certificate: PortCertificate | None, transport: Transport
    ) -> None:
        self._processor = processor
        self._host = host
        self._certificate = certificate
        self._transport = transport
        self._open: dict[int, _Open] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._serving = False

    @property
    def ports(self) -> dict[int, str]:
        """Pool by port that is listened on."""
        return {port: one.pool for port, one in self._open.items()}

    async def follow(self, ports: Collection[tuple[int, str]]) -> dict[str, str]:
        """Listen for these pools; by pool whose port cannot be used, why. Ask again to try again.

        Streams on a port that is closed have some seconds to end.
        """
        wanted = dict(sorted(ports)[:MAX_PORTS])
        for port in self._open.keys() - wanted.keys():
            closing = asyncio.create_task(self._open.pop(port).grpc.stop(_GRACE_SECONDS))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        failed = {pool: f"at most {MAX_PORTS} pools" for _, pool in sorted(ports)[MAX_PORTS:]}
        for port, pool in wanted.items():
            known = self._open.get(port)
            if known is not None:
                known.pool = pool
                continue
            try:
                self._open[port] = await self._listen(port, pool)
            except RuntimeError as error:
                failed[pool] = f"port {port} cannot be used: {error}"
        return failed

    async def _listen(self, port: int, pool: str) -> _Open:
        made = _Open(GrpcPort(self._certificate, self._transport), pool)
        made.grpc.add(pool_ext_proc_service(self._processor, lambda: made.pool))
        await made.grpc.start(self._host, port)
        made.grpc.set_serving(serving=self._serving)
        log.info("listening for a pool", extra={"port": port, "pool": pool})
        return made

    def set_serving(self, *, serving: bool) -> None:
        """What health checks on all these ports are told."""
        self._serving = serving
        for one in self._open.values():
            one.grpc.set_serving(serving=serving)

    async def stop(self, grace_seconds: float) -> None:
        """Stop listening."""
        ended = [one.grpc.stop(grace_seconds) for one in self._open.values()]
        self._open.clear()
        for closing in self._closing:
            closing.cancel()
        await asyncio.gather(*ended, *self._closing, return_exceptions=True)
