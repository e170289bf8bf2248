"""Where background responses are being made: announced by Envoy's script with a stream's first event.

The access log says it only when the stream ends, and a client may ask for the response, or cancel it, long
before: docs/decisions/0106.
"""

from collections.abc import Awaitable, Callable

import grpc
import msgspec

from pilotage_extproc.envoy import contract


class Announcement(msgspec.Struct, frozen=True):
    """A stored response, and the endpoint that makes it."""

    id: str
    address: str


def announcement_handler(take: Callable[[Announcement], None]) -> grpc.GenericRpcHandler:
    """The gRPC service Envoys announce responses to."""

    async def announce(request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
        try:
            take(msgspec.json.decode(request, type=Announcement))
        except msgspec.DecodeError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        return b""

    method: Callable[..., Awaitable[bytes]] = announce
    return grpc.method_handlers_generic_handler(
        contract.ANNOUNCE_SERVICE,
        {contract.ANNOUNCE_METHOD: grpc.unary_unary_rpc_method_handler(method)},
    )
