"""The same services on grpc.aio: the second transport."""

from collections.abc import Mapping
from typing import Any

import grpc

from pilotage_extproc.transport.contract import CallRefused, Handler, Service

_OPTIONS = (
    ("grpc.max_receive_message_length", -1),  # bodies are bounded by the settings, with a typed answer
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),  # a second process on the port must be an error, not half the requests
    ("grpc.max_concurrent_streams", 100_000),
)


class GrpcioPort:
    """A `grpc.aio` server on one address."""

    def __init__(self, credentials: grpc.ServerCredentials | None = None) -> None:
        self._credentials = credentials
        self._server = grpc.aio.server(options=_OPTIONS)

    def add(self, *services: Service) -> None:
        """Serve these; before `start`."""
        self._server.add_generic_rpc_handlers([_generic(service) for service in services])

    async def start(self, host: str, port: int) -> int:
        """Listen; the real port. Raises RuntimeError where the address cannot be used."""
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if self._credentials is None:
            bound = self._server.add_insecure_port(address)
        else:
            bound = self._server.add_secure_port(address, self._credentials)
        await self._server.start()
        return bound

    async def stop(self, grace_seconds: float | None) -> None:
        """Stop listening; calls that are open after the grace are ended."""
        await self._server.stop(grace_seconds)


class _Context:
    """grpc.aio's context as a `Stream`."""

    __slots__ = ("_context",)

    def __init__(self, context: Any) -> None:
        self._context = context

    async def read(self) -> bytes | None:
        message = await self._context.read()
        return None if message is grpc.aio.EOF else bytes(message)

    async def write(self, message: bytes) -> None:
        await self._context.write(message)

    async def last(self, message: bytes) -> None:
        await self._context.write(message)

    @property
    def ends_at_once(self) -> bool:
        return False

    def invocation_metadata(self) -> Mapping[str, str]:
        return dict(self._context.invocation_metadata() or ())

    def peer_names(self) -> frozenset[str]:
        # there where the port asks all callers for certificates: grpc.aio can do that, or ask nobody
        return frozenset(name.decode() for name in self._context.auth_context().get("peer_dns", ()))


def _generic(service: Service) -> grpc.GenericRpcHandler:
    methods: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        name: grpc.stream_stream_rpc_method_handler(_served(method.handler))
        for name, method in service.methods.items()
    }
    return grpc.method_handlers_generic_handler(service.name, methods)


def _served(handler: Handler) -> Any:
    async def serve(_requests: object, context: Any) -> None:
        try:
            await handler(_Context(context))
        except CallRefused as refused:
            code = next(one for one in grpc.StatusCode if one.value[0] == refused.status)
            await context.abort(code, refused.details)

    return serve
