"""A certificate authority of a test's own."""

import datetime as dt
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM


def dns(name: str) -> x509.GeneralName:
    return x509.DNSName(name)


def ip(address: str) -> x509.GeneralName:
    return x509.IPAddress(ip_address(address))


def uri(text: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(text)


@dataclass(frozen=True)
class Pair:
    """A key and its certificate, PEM."""

    key: bytes
    certificate: bytes


class Issuer:
    """Issues certificates for servers."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer of a test")])
        own = self._signed(self._key.public_key(), self._name, (), is_issuer=True)
        self.certificate = own.public_bytes(PEM)

    def issue(self, *names: x509.GeneralName, common_name: str = "") -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
        certificate = self._signed(key.public_key(), x509.Name(subject), names, is_issuer=False)
        private = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return Pair(private, certificate.public_bytes(PEM))

    def _signed(
        self, public: Any, subject: x509.Name, names: tuple[x509.GeneralName, ...], *, is_issuer: bool
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(minutes=5))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_issuer, path_length=None), critical=True)
        )
        if names:
            made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return made.sign(self._key, hashes.SHA256())
