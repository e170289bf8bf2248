"""Where background responses are being made: announced by Envoy's script with a stream's first event.

The access log says it only when the stream ends, and a client may ask for the response, or cancel it, long
before: docs/decisions/0106.
"""

from collections.abc import Callable, Mapping

import msgspec

from pilotage_extproc.envoy import contract
from pilotage_extproc.transport.contract import CallRefused, Service, Status, unary


class Announcement(msgspec.Struct, frozen=True):
    """A stored response, and the endpoint that makes it."""

    id: str
    address: str
    holder: str = ""
    """Whose it is: `Identity.holder`."""


def announcement_service(take: Callable[[Announcement], None]) -> Service:
    """The gRPC service Envoys announce responses to."""

    def announce(request: bytes, _metadata: Mapping[str, str]) -> bytes:
        try:
            take(msgspec.json.decode(request, type=Announcement))
        except msgspec.DecodeError as error:
            raise CallRefused(Status.INVALID_ARGUMENT, str(error)) from None
        return b""

    return Service(contract.ANNOUNCE_SERVICE, {contract.ANNOUNCE_METHOD: unary(announce)})
