"""Where hosted providers may be, and where their credentials are: the gateway's word over any pool's."""

import ipaddress
from typing import Annotated, Self

from pydantic import AfterValidator, StringConstraints, model_validator

from pilotage_api.resource import DNS_LABEL
from pilotage_api.settings_part import SettingsPart


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise ValueError(f"{error}: write a network such as 10.20.0.0/16") from None


HostPattern = Annotated[
    str,
    StringConstraints(
        pattern=r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$", max_length=253
    ),
]
"""A DNS name in lower case, or `*.` and a DNS name for every name below that."""


class ProviderSettings(SettingsPart):
    """Which hosts `ModelPool.spec.external` may name, and where their credentials are read."""

    hosts: tuple[HostPattern, ...] = ()
    """Hosts that pools may name, such as `api.openai.com` or `*.openai.azure.com`. In a cluster none but
    these; outside one, empty is any."""
    networks: tuple[Annotated[str, AfterValidator(_network)], ...] = ()
    """Networks beside the public internet where a provider's address may be, such as `10.20.0.0/16`.
    Loopback and link-local addresses are never allowed in a cluster."""
    ca_file: str = "/etc/ssl/certs/ca-certificates.crt"
    """Authorities that providers are verified with where a pool has no `caBundle`: PEM, where Envoy runs."""
    secret_namespaces: tuple[Annotated[str, StringConstraints(pattern=DNS_LABEL, max_length=63)], ...] = ()
    """Namespaces where pickers read Secrets of type `pilotage.dev/provider`."""

    @model_validator(mode="after")
    def _narrow(self) -> Self:
        for text in self.networks:
            if ipaddress.ip_network(text).prefixlen == 0:
                raise ValueError(f"networks: {text} is everything: name the network that is meant")
        return self
