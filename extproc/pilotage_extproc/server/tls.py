"""What the gRPC ports serve TLS with: a self-signed certificate made at start, or PEM files read again."""

import contextlib
import datetime as dt
import logging
import os
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pilotage_api.settings import EnvoyTls, TlsFiles, TlsSettings
from pilotage_extproc.settlement.link import OwnCertificate

log = logging.getLogger(__name__)
_LIFETIME = dt.timedelta(days=3650)


class TlsError(ValueError):
    """Certificate files that cannot be used; the message names the file and the fix."""


class PortCertificate(Protocol):
    """What a gRPC port proves itself with."""

    def credentials(self) -> grpc.ServerCredentials:
        """For one port of grpc.aio. Raises TlsError where there is nothing to serve."""

    def context(self) -> ssl.SSLContext:
        """For one port of the built-in transport. Raises TlsError where there is nothing to serve."""

    def leaf(self) -> str:
        """The certificate that a connection made now is shown, PEM, without its issuers."""

    def shown(self) -> OwnCertificate | None:
        """What this process shows peers to prove who it is; None where they do not ask."""


def port_certificate(tls: TlsSettings) -> PortCertificate | None:
    """Of the gRPC ports, as the settings say; None is plaintext. Reads nothing yet."""
    own = tls.extproc
    if own is None:
        return None
    if own == "self-signed":
        return SelfSigned("pilotage-extproc")
    return CertificateFiles(own, tls.envoy)


def self_signed(common_name: str) -> tuple[bytes, bytes]:
    """A new P-256 key and certificate in PEM, valid for ten years. No issuer vouches for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(common_name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private, certificate.public_bytes(pem)


class SelfSigned:
    """A key and certificate of this process alone, gone with it."""

    def __init__(self, common_name: str) -> None:
        self._key, self._certificate = self_signed(common_name)

    def credentials(self) -> grpc.ServerCredentials:
        """For one port."""
        return grpc.ssl_server_credentials([(self._key, self._certificate)])

    def context(self) -> ssl.SSLContext:
        """For one port."""
        return _context(self._key, self._certificate)

    def leaf(self) -> str:
        """The certificate, PEM."""
        return self._certificate.decode()

    def shown(self) -> OwnCertificate | None:
        """Nothing: nobody could verify it."""
        return None


@dataclass(slots=True, frozen=True)
class _Loaded:
    key: bytes
    chain: bytes
    leaf: str
    clients: str = ""
    """The authority of callers' certificates, PEM."""


class CertificateFiles:
    """A key and certificate on disk, as secrets are mounted: replaced while the server runs.

    They are asked for at each handshake: by grpc.aio from a thread of its own, by the built-in transport
    on the loop, which two small files do not hold up. Nothing here needs a lock.
    """

    def __init__(self, files: TlsFiles, mutual: EnvoyTls | None = None) -> None:
        """With `mutual` callers are asked for a certificate of its authority, or let in with one only."""
        self._files = files
        self._clients_file = None if mutual is None else mutual.ca_file
        self._required = mutual is not None and mutual.require_certificates
        self._loaded: _Loaded | None = None
        self._trouble = ""

    def credentials(self) -> grpc.ServerCredentials:
        """For one port, which serves what the files hold at each handshake. Raises TlsError."""
        handed = self._current()

        def renewed() -> grpc.ServerCertificateConfiguration | None:
            nonlocal handed
            now = self._current()
            if now == handed:
                return None
            handed = now
            return _configuration(now)

        return grpc.dynamic_ssl_server_credentials(
            _configuration(handed),
            renewed,  # type: ignore[arg-type]  # None is "unchanged", the stubs forgot
            require_client_authentication=self._required,
        )

    def context(self) -> ssl.SSLContext:
        """For one port, which serves what the files hold at each handshake. Raises TlsError."""
        handed = self._current()
        first = newest = _context(handed.key, handed.chain, handed.clients, required=self._required)

        def renewed(connection: ssl.SSLObject, _name: str | None, _of: ssl.SSLContext) -> None:
            nonlocal handed, newest
            now = self._current()
            if now != handed:
                newest = _context(now.key, now.chain, now.clients, required=self._required)
                handed = now
            connection.context = newest

        first.sni_callback = renewed  # asked at each handshake, with a name or without
        return first

    def leaf(self) -> str:
        """The first certificate of the file, PEM. Raises TlsError where none was ever readable."""
        return self._current().leaf

    def shown(self) -> OwnCertificate | None:
        """The same certificate and its issuers, where callers are told apart by theirs. Raises TlsError."""
        if self._clients_file is None:
            return None
        now = self._current()
        return OwnCertificate(now.key, now.chain)

    def _current(self) -> _Loaded:
        """What the files hold if that is usable, else what they held: a broken renewal keeps the old."""
        before = self._loaded
        try:
            now = self._read()
        except TlsError as error:
            if before is None:
                raise
            if str(error) != self._trouble:
                self._trouble = str(error)
                log.warning("kept the last certificate", extra={"error": str(error)})
            return before
        self._trouble = ""
        if now != before:
            self._loaded = now
            if before is not None:
                log.info("read a new certificate", extra={"file": self._files.cert_file})
        return now

    def _read(self) -> _Loaded:
        known = self._loaded
        try:
            key = Path(self._files.key_file).read_bytes()
            chain = Path(self._files.cert_file).read_bytes()
            clients = Path(self._clients_file).read_text() if self._clients_file else ""
            if known is not None and (key, chain, clients) == (known.key, known.chain, known.clients):
                return known
            loaded = serialization.load_pem_private_key(key, password=None)
            leaf = x509.load_pem_x509_certificate(chain)
            fits = loaded.public_key() == leaf.public_key()
            if fits:
                _context(key, chain, clients)
        except OSError as error:
            raise TlsError(f"tls.extproc: cannot read {error.filename}: {error.strerror}") from error
        except Exception as error:  # of many kinds: no PEM, a version or an algorithm that is not known
            what = f"{self._files.cert_file} or its key cannot be used"
            raise TlsError(f"tls.extproc: {what}: {error or type(error).__name__}") from error
        if not fits:
            raise TlsError(f"tls.extproc: {self._files.key_file} is not the key of {self._files.cert_file}")
        if clients and not _for_clients(leaf):
            raise TlsError(
                f"tls.extproc: {self._files.cert_file} is for servers only, but pickers show it to peers:"
                " have it issued for client authentication as well"
            )
        return _Loaded(key, chain, leaf.public_bytes(serialization.Encoding.PEM).decode(), clients)


def _configuration(loaded: _Loaded) -> grpc.ServerCertificateConfiguration:
    pairs = [(loaded.key, loaded.chain)]
    return grpc.ssl_server_certificate_configuration(pairs, loaded.clients.encode() or None)


def _for_clients(certificate: x509.Certificate) -> bool:
    """Whether whom it is shown to by a caller may accept it; one that says no purpose is for all."""
    try:
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    allowed = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)
    return any(purpose in allowed for purpose in purposes)


@contextlib.contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """The path of a file that holds this meanwhile: on Linux in memory, where pods may have no other."""
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("pilotage-tls"), "wb", buffering=0) as file:
            file.write(content)
            yield f"/proc/self/fd/{file.fileno()}"
        return
    with tempfile.NamedTemporaryFile(prefix="pilotage-tls-", buffering=0) as file:  # of mode 0600
        file.write(content)
        yield file.name


def _context(key: bytes, chain: bytes, clients: str = "", *, required: bool = False) -> ssl.SSLContext:
    """HTTP/2 over TLS 1.2 or later, with this certificate. Raises ssl.SSLError.

    With `clients`, an authority, a caller's certificate is verified where it shows one, or must be there.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")  # what RFC 9113 9.2.2 leaves of TLS 1.2
    context.set_alpn_protocols(["h2"])
    with _as_file(key + b"\n" + chain) as file:  # the ssl module reads files only
        context.load_cert_chain(file)
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
        context.load_verify_locations(cadata=clients)
    return context
