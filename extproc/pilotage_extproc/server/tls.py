"""Server credentials: a self-signed certificate made at start, or PEM files read again when they change."""

import datetime as dt
import logging
from pathlib import Path
from typing import Literal

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pilotage_api.settings import TlsFiles

log = logging.getLogger(__name__)
_LIFETIME = dt.timedelta(days=3650)


class TlsError(ValueError):
    """Certificate files that cannot be used; the message names the file and the fix."""


def server_credentials(tls: TlsFiles | Literal["self-signed"]) -> grpc.ServerCredentials:
    """Credentials for the gRPC port. Raises TlsError where files are missing or not PEM."""
    if tls == "self-signed":
        key, certificate = self_signed("pilotage-extproc")
        return grpc.ssl_server_credentials([(key, certificate)])
    files = CertificateFiles(tls)
    return grpc.dynamic_ssl_server_credentials(
        files.configuration(),
        files.changed_configuration,  # type: ignore[arg-type]  # None is "unchanged", the stubs forgot
        require_client_authentication=False,
    )


def self_signed(common_name: str) -> tuple[bytes, bytes]:
    """A new P-256 key and certificate in PEM, valid for ten years. Clients must not verify it."""
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


class CertificateFiles:
    """A key and certificate on disk, as secrets are mounted: replaced while the server runs."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._loaded: tuple[bytes, bytes] | None = None

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        """What the files hold now. Raises TlsError."""
        self._loaded = self._read()
        return grpc.ssl_server_certificate_configuration([self._loaded])

    def changed_configuration(self) -> grpc.ServerCertificateConfiguration | None:
        """What the files hold if that is new and usable, else None: a broken renewal keeps the old."""
        try:
            loaded = self._read()
        except TlsError as error:
            log.warning("kept the last certificate", extra={"error": str(error)})
            return None
        if loaded == self._loaded:
            return None
        self._loaded = loaded
        log.info("read a new certificate", extra={"file": self._files.cert_file})
        return grpc.ssl_server_certificate_configuration([loaded])

    def _read(self) -> tuple[bytes, bytes]:
        try:
            key = Path(self._files.key_file).read_bytes()
            certificate = Path(self._files.cert_file).read_bytes()
            loaded = serialization.load_pem_private_key(key, password=None)
            public = x509.load_pem_x509_certificate(certificate).public_key()
        except OSError as error:
            raise TlsError(f"tls.extproc: cannot read {error.filename}: {error.strerror}") from error
        except (ValueError, TypeError) as error:
            raise TlsError(f"tls.extproc: {self._files.cert_file} or its key is not PEM: {error}") from error
        if loaded.public_key() != public:
            raise TlsError(f"tls.extproc: {self._files.key_file} is not the key of {self._files.cert_file}")
        return key, certificate
