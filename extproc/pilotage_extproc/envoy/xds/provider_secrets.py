"""A provider's secrets as Envoy is told of them: by file name where there is a file, else by value."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pilotage_extproc.domain.reach import Reach
from pilotage_extproc.envoy.xds.typed import Fields


@dataclass(slots=True, frozen=True)
class ProviderSecrets:
    """The secrets of one provider, and who may be told."""

    reach: Reach = Reach.PROVIDERS
    credential: str | None = None
    """Name of the credential, where there is one."""
    client_certificate: str | None = None
    """Name of the client certificate, where there is one."""
    by_name: Mapping[str, Fields] = field(default_factory=dict, repr=False)
    """As Envoy's `Secret`, in JSON form."""

    @staticmethod
    def name_type(host: str) -> str:
        """Which kind of name a certificate must have for a host."""
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return "DNS"
        return "IP_ADDRESS"


def credential_name(provider: str) -> str:
    """Name of a provider's credential in xDS."""
    return f"{provider}/credential"


def client_certificate_name(provider: str) -> str:
    """Name of a provider's client certificate in xDS."""
    return f"{provider}/client-certificate"


def credential_file(name: str, file: str, watched: str | None = None) -> Fields:
    """A credential that Envoy reads from a file, and again when the folder of `watched` changes.

    That is the file itself, unless it is a link to another.
    """
    source = {"filename": file, "watchedDirectory": {"path": str(Path(watched or file).parent)}}
    return {"name": name, "genericSecret": {"secret": source}}


def credential_value(name: str, value: str) -> Fields:
    """A credential itself."""
    return {"name": name, "genericSecret": {"secret": {"inlineString": value}}}


def certificate_files(name: str, cert_file: str, key_file: str) -> Fields:
    """A certificate that Envoy reads from files."""
    return {
        "name": name,
        "tlsCertificate": {
            "certificateChain": {"filename": cert_file},
            "privateKey": {"filename": key_file},
            "watchedDirectory": {"path": str(Path(cert_file).parent)},
        },
    }


def certificate_values(name: str, chain: str, key: str) -> Fields:
    """A certificate and key themselves, PEM."""
    return {
        "name": name,
        "tlsCertificate": {"certificateChain": {"inlineString": chain}, "privateKey": {"inlineString": key}},
    }
