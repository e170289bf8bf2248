"""Which guards may be asked, and about whose requests: the gateway's word over any policy's."""

import ipaddress
from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from pilotage_api.egress import never_in_cluster
from pilotage_api.provider_settings import HostPattern
from pilotage_api.remote_guard import guard_host
from pilotage_api.residency import fits
from pilotage_api.resource import LabelValue
from pilotage_api.settings_part import SettingsPart


class GuardAuth(SettingsPart):
    """The credential that each call of a guard carries. Over https only, except to loopback addresses."""

    file: str | None = None
    """File that holds it and nothing else; read again within ten seconds of a change."""
    env: str | None = None
    """Instead: an environment variable that holds it."""
    header: Annotated[str, StringConstraints(pattern=r"^[a-z0-9!#$%&'*+.^_`|~-]+$", max_length=100)] = (
        "authorization"
    )
    """The header that holds it, in lower case."""
    prefix: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]*[ ]?$", max_length=64)] = "Bearer "
    """What stands before it in that header."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.file is None) == (self.env is None):
            raise ValueError("set one of file and env")
        if self.header in ("content-type", "content-length", "host", "accept-encoding", "connection"):
            raise ValueError(f"header: {self.header} is set by the call itself: name another")
        return self


class GuardHost(SettingsPart):
    """Guards of one host, or of the hosts below a name."""

    host: HostPattern
    """Such as `guard.models.svc`, or `*.guards.example`; an address stands as it is."""
    labels: dict[str, LabelValue] = Field(default={}, max_length=16)
    """What `require.poolLabels` of a rule compares, as of a pool: `{trust: own, region: eu}`."""
    auth: GuardAuth | None = None
    """What guards of this host are shown; of several entries for a host that of the longest name counts."""
    ca_file: str | None = None
    """Authorities that its certificate is checked against instead of the system's, PEM; read again within
    ten seconds of a change."""

    def is_of(self, host: str) -> bool:
        """Whether it stands for this host."""
        if self.host.startswith("*."):
            return host.endswith(self.host[1:])
        return host == self.host


def entry_of(host: str, known: tuple[GuardHost, ...]) -> GuardHost | None:
    """The entry whose credential and authorities hold for a host: of several that of the longest name."""
    return max((one for one in known if one.is_of(host)), key=lambda one: len(one.host), default=None)


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_problem(url: str, known: tuple[GuardHost, ...], *, in_cluster: bool) -> str:
    """Why a guard may not be asked at all; empty where it may."""
    host = guard_host(url)
    entry = entry_of(host, known)
    if (known or in_cluster) and entry is None:
        return f"{host} is not among the gateway's governance.content.guards"
    if entry is not None and entry.auth is not None and not url.startswith("https:") and not _is_here(host):
        return f"{host} is shown a credential, which goes over https only"
    return never_in_cluster(host) if in_cluster else ""


def residency_problem(url: str, known: tuple[GuardHost, ...], wanted: Mapping[str, str]) -> str:
    """Why a guard may not be shown requests of a rule that requires these labels; empty where it may.

    A host that is listed twice has the labels that both entries have.
    """
    host = guard_host(url)
    labels = [one.labels for one in known if one.is_of(host)]
    if not wanted or (labels and all(fits(one, wanted) for one in labels)):
        return ""
    shown = ", ".join(f"{name}={value}" for name, value in sorted(wanted.items()))
    return f"the guard at {host} has not the labels that the rule requires: {shown}"
