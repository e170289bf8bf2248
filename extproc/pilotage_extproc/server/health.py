"""The standard gRPC health service, for probes and load balancers."""

import asyncio

from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from pilotage_extproc.transport.contract import CallRefused, Method, Service, Status, Stream

SERVICE = "grpc.health.v1.Health"
_Response = health_pb2.HealthCheckResponse


class Health:
    """What may be asked for, by service name, and whether it serves."""

    def __init__(self) -> None:
        self._serving: dict[str, bool] = {}
        self._changed: set[asyncio.Event] = set()

    def set(self, *names: str, serving: bool) -> None:
        """Tell callers, those that watch too."""
        self._serving.update(dict.fromkeys(names, serving))
        for changed in self._changed:
            changed.set()

    def service(self) -> Service:
        """Answers `Check` and `Watch`."""
        return Service(SERVICE, {"Check": Method(self._check), "Watch": Method(self._watch)})

    async def _check(self, stream: Stream) -> None:
        name = await _asked(stream)
        if name not in self._serving:
            raise CallRefused(Status.NOT_FOUND, "no such service here")
        await stream.write(self._answer(name))

    async def _watch(self, stream: Stream) -> None:
        name = await _asked(stream)
        changed = asyncio.Event()
        self._changed.add(changed)
        told = None
        try:
            while True:
                answer = self._answer(name)
                if answer != told:
                    await stream.write(answer)
                    told = answer
                await changed.wait()
                changed.clear()
        finally:
            self._changed.discard(changed)

    def _answer(self, name: str) -> bytes:
        status = _Response.SERVICE_UNKNOWN
        if name in self._serving:
            status = _Response.SERVING if self._serving[name] else _Response.NOT_SERVING
        serialised: bytes = _Response(status=status).SerializeToString()
        return serialised


async def _asked(stream: Stream) -> str:
    raw = await stream.read()
    if raw is None:
        raise CallRefused(Status.INTERNAL, "the call brought no message")
    try:
        return str(health_pb2.HealthCheckRequest.FromString(raw).service)
    except DecodeError:
        raise CallRefused(Status.INVALID_ARGUMENT, "no HealthCheckRequest") from None
