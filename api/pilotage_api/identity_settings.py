"""How the gateway finds out who asks: API keys, JSON web tokens, or a header of a proxy that is trusted."""

import ipaddress
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from pilotage_api.calls import is_dropped
from pilotage_api.resource import DNS_LABEL, LabelValue
from pilotage_api.settings_part import SettingsPart


def _cidr(text: str) -> str:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"{error}: write a network such as 10.1.0.0/16") from None
    if network.prefixlen == 0:
        raise ValueError(f"{text} is everybody: name the network of the proxy")
    return str(network)


def _own_header(name: str) -> str:
    name = name.lower()
    if is_dropped(name):
        raise ValueError("never arrives: the gateway drops it; name another header")
    return name


LowerHeader = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*$", max_length=100),
    AfterValidator(_own_header),
]
ClaimName = Annotated[str, StringConstraints(pattern=r"^[^\s.]+(\.[^\s.]+)*$", max_length=256)]
"""A member of the token's payload; a dot goes down one object."""


class KeySelector(SettingsPart):
    """Which Secrets hold API keys."""

    match_labels: dict[str, LabelValue] = Field(min_length=1)
    """All must fit."""


class ApiKeySettings(SettingsPart):
    """API keys, of which only hashes are kept (docs/tenants.md)."""

    secret_selector: KeySelector | None = None
    """In a cluster: Secrets with these labels, in the gateway's own namespace or in `secretNamespace`."""
    secret_namespace: Annotated[str, StringConstraints(pattern=DNS_LABEL, max_length=63)] | None = None
    file: str | None = None
    """Outside of a cluster: a JSON file that `pilotage keys` writes; read again when it changes."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.file is None) == (self.secret_selector is None):
            raise ValueError("name where keys are: file, or secretSelector in a cluster; one of the two")
        return self


class JwtSettings(SettingsPart):
    """JSON web tokens; the bundled Envoy verifies them (docs/tenants.md)."""

    issuer: Annotated[str, StringConstraints(min_length=1, max_length=1024)]
    """The token's `iss`."""
    jwks_uri: Annotated[
        str, StringConstraints(pattern=r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[^\s#]*)?$", max_length=2048)
    ]
    """Where the issuer's keys are, `https://…`."""
    audiences: tuple[Annotated[str, StringConstraints(min_length=1, max_length=1024)], ...] = ()
    """The token's `aud` must name one of them; empty takes any."""
    tenant_claim: ClaimName = "tenant"
    """Claim that names the tenant. A token without it is refused."""
    team_claim: ClaimName | None = None
    """Claim that names the team."""
    user_claim: ClaimName = "sub"
    """Claim that names the user."""
    ca_file: str = "/etc/ssl/certs/ca-certificates.crt"
    """Authorities that the issuer's server is verified with: PEM, where Envoy runs."""


class TrustedHeaderSettings(SettingsPart):
    """A header by which a proxy in front says who asks."""

    name: LowerHeader
    """It names the tenant. From anybody else it counts for nothing, and no model server sees it."""
    from_cidrs: tuple[Annotated[str, AfterValidator(_cidr)], ...] = Field(min_length=1)
    """Networks whose connections are believed, by the address that the bundled Envoy sees; never by
    `x-forwarded-for`."""


class IdentitySettings(SettingsPart):
    """Who is served: each request needs one of these, else it is answered 401."""

    api_keys: ApiKeySettings | None = None
    """`Authorization: Bearer …`, `x-api-key` or `api-key`."""
    jwt: JwtSettings | None = None
    """`Authorization: Bearer …` with a token of an issuer."""
    trusted_header: TrustedHeaderSettings | None = None

    @model_validator(mode="after")
    def _some_way(self) -> Self:
        if self.api_keys is None and self.jwt is None and self.trusted_header is None:
            raise ValueError("nobody could be served: set apiKeys, jwt or trustedHeader")
        return self
