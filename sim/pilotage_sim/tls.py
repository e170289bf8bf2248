"""A certificate for simulated servers, made once and kept in a folder."""

import fcntl
import ipaddress
import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

CERTIFICATE: Final = "certificate.pem"
_KEY: Final = "key.pem"
_LIFETIME: Final = timedelta(days=365)


def server_tls(folder: Path) -> ssl.SSLContext:
    """TLS with the certificate of a folder, for `localhost` and 127.0.0.1; made where there is none.

    It is signed by its own key, so `certificate.pem` is also what clients verify it with. Two processes may
    ask for the same folder at once. Raises OSError where the folder cannot be written or read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ((folder / CERTIFICATE).exists() and (folder / _KEY).exists()):
            _make(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / CERTIFICATE, folder / _KEY)
    return context


def _make(folder: Path) -> None:
    # imported here: a simulated server without TLS does not have to load it
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "simulated servers")])
    hosts = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    opened = os.open(folder / _KEY, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(opened, "wb") as file:
        file.write(secret)
    (folder / CERTIFICATE).write_bytes(made.public_bytes(serialization.Encoding.PEM))
