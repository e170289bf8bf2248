"""A connection to one peer: plaintext, or TLS that trusts one certificate and no other."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

SERVICE = "pilotage.peer.v1.Peer"
_CALL_TIMEOUT_SECONDS = 2.0
_OPTIONS = (("grpc.max_reconnect_backoff_ms", 5000),)  # a peer that was away is back within seconds

Metadata = Sequence[tuple[str, str]]
_Call = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]


class CertificateFault(ValueError):
    """A peer's certificate that no connection can be made with; the message says why."""


@dataclass(slots=True, frozen=True)
class OwnCertificate:
    """What a process proves with who it is, where it calls; PEM."""

    key: bytes = field(repr=False)
    chain: bytes


class PeerLink:
    """The calls a peer takes. Each raises `grpc.aio.AioRpcError`, at the latest after two seconds."""

    def __init__(self, address: str, certificate: str, own: OwnCertificate | None = None) -> None:
        """With no certificate of the peer's the connection is plaintext. Raises CertificateFault."""
        self.certificate = certificate
        self.own = own
        self._channel = _channel(address, certificate, own)
        self._hello: _Call = self._channel.unary_unary(f"/{SERVICE}/Hello")
        self._deliver: _Call = self._channel.unary_unary(f"/{SERVICE}/Deliver")
        self._explain: _Call = self._channel.unary_unary(f"/{SERVICE}/Explain")
        self._tell: _Call = self._channel.unary_unary(f"/{SERVICE}/Tell")

    async def hello(self) -> bytes:
        """Who it is."""
        return await self._hello(b"{}", timeout=_CALL_TIMEOUT_SECONDS)

    async def deliver(self, batch: bytes, metadata: Metadata) -> None:
        """Hand it outcomes."""
        await self._deliver(batch, timeout=_CALL_TIMEOUT_SECONDS, metadata=metadata)

    async def tell(self, batch: bytes) -> None:
        """Tell it news. One of the version before does not listen to any."""
        try:
            await self._tell(batch, timeout=_CALL_TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                raise

    async def explain(self, decision_id: str) -> bytes:
        """A decision it holds; empty where it holds none."""
        return await self._explain(decision_id.encode(), timeout=_CALL_TIMEOUT_SECONDS)

    async def close(self) -> None:
        """Close; calls under way end first."""
        await self._channel.close(_CALL_TIMEOUT_SECONDS)


def _channel(address: str, certificate: str, own: OwnCertificate | None) -> grpc.aio.Channel:
    if not certificate:
        return grpc.aio.insecure_channel(address, _OPTIONS)
    try:
        trusted = x509.load_pem_x509_certificate(certificate.encode())
        name = _name_in(trusted)
    except Exception as error:  # of many kinds: a version, an extension, a name of no known form
        raise CertificateFault(f"it cannot be read: {error or type(error).__name__}") from error
    if not name:
        raise CertificateFault(
            "it names nobody: it needs a DNS name, an IP address or, without any of these, a common name"
        )
    # Written anew: of a chain only the first is trusted, else whoever else its issuer knows would be too.
    credentials = grpc.ssl_channel_credentials(
        root_certificates=trusted.public_bytes(Encoding.PEM),
        private_key=None if own is None else own.key,
        certificate_chain=None if own is None else own.chain,
    )
    # gRPC insists on comparing a name. Nothing hangs on it: there is one certificate that will do.
    return grpc.aio.secure_channel(address, credentials, (*_OPTIONS, ("grpc.ssl_target_name_override", name)))


def _name_in(certificate: x509.Certificate) -> str | None:
    """A name this certificate is valid for; its common name counts only where it has no other, as in gRPC."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    hosts = names.get_values_for_type(x509.DNSName)
    for dns in sorted(hosts, key=lambda name: name.startswith("*.")):
        return dns.replace("*", "any", 1) if dns.startswith("*.") else dns
    for address in names.get_values_for_type(x509.IPAddress):
        return str(address)
    if not list(names):
        for common in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME):
            return str(common.value)
    return None
