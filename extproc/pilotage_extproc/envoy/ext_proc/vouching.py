"""What a gateway says of a request's client, out of its message: never anything that the client wrote."""

from typing import Any, Final

from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc_pb2
from google.protobuf.json_format import MessageToDict

from pilotage_api.identity_settings import IdentitySettings
from pilotage_extproc.domain.vouched import Vouched
from pilotage_extproc.envoy import contract

CREDENTIALS: Final = ("authorization", "proxy-authorization", "x-api-key", "api-key")
"""Request headers by which clients authenticate at the gateway: no server and no provider sees them."""


def stripped(identity: IdentitySettings | None) -> tuple[str, ...]:
    """Request headers to strip where the gateway finds out who asks."""
    if identity is None:
        return ()
    trusted = identity.trusted_header
    return CREDENTIALS if trusted is None else (*CREDENTIALS, trusted.name)


class Vouching:
    """Reads what the settings have a use for."""

    def __init__(self, *, source: bool, claims: bool) -> None:
        self._source = source
        self._claims = claims

    def read(self, message: ext_proc_pb2.ProcessingRequest) -> Vouched:
        """Of the first message of a bundled Envoy's stream: only that has verified what it says."""
        return Vouched(_source(message) if self._source else None, _claims(message) if self._claims else None)


def vouching(identity: IdentitySettings | None) -> Vouching | None:
    """None where the settings have no use for what a gateway says."""
    if identity is None or (identity.trusted_header is None and identity.jwt is None):
        return None
    return Vouching(source=identity.trusted_header is not None, claims=identity.jwt is not None)


def _source(message: ext_proc_pb2.ProcessingRequest) -> str | None:
    attributes = message.attributes.get(contract.EXT_PROC_ATTRIBUTES)
    if attributes is None or contract.SOURCE_ADDRESS not in attributes.fields:
        return None
    place = str(attributes.fields[contract.SOURCE_ADDRESS].string_value)
    host, colon, port = place.rpartition(":")
    if not colon or not port.isdigit():
        return place or None
    return host.strip("[]")


def _claims(message: ext_proc_pb2.ProcessingRequest) -> dict[str, Any] | None:
    namespace = message.metadata_context.filter_metadata.get(contract.CLAIMS_NAMESPACE)
    if namespace is None or contract.CLAIMS not in namespace.fields:
        return None
    return MessageToDict(namespace.fields[contract.CLAIMS].struct_value)
