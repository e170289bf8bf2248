"""A certificate authority for clients and servers of tests."""

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """Issues certificates; `certificate` is its own."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        own = (
            self._builder(self._name, timedelta(days=1))
            .public_key(self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = own.public_bytes(serialization.Encoding.PEM).decode()

    def issue(
        self,
        name: str,
        group: str,
        lifetime: timedelta,
        *,
        hosts: Sequence[str] = (),
        valid_from: timedelta | None = None,
    ) -> tuple[str, str]:
        """Certificate and key, as PEM, for a user of a group; also for a server at 127.0.0.1.

        `hosts` are names or addresses it is for instead of that one; `valid_from` is relative to now.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, group),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
        here = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        places = [_place(host) for host in hosts] or [here]
        found = (
            self._builder(x509.Name(subject), lifetime, valid_from)
            .public_key(key.public_key())
            .add_extension(x509.SubjectAlternativeName(places), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        text = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return found.public_bytes(serialization.Encoding.PEM).decode(), text.decode()

    def _builder(
        self, subject: x509.Name, lifetime: timedelta, valid_from: timedelta | None = None
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC) + (valid_from or timedelta())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=1))
            .not_valid_after(now + lifetime)
        )


def _place(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
