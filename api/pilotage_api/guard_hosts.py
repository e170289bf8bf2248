"""Which guards may be asked, and about whose requests: the gateway's word over any policy's."""

from collections.abc import Mapping

from pydantic import Field

from pilotage_api.egress import never_in_cluster
from pilotage_api.provider_settings import HostPattern
from pilotage_api.remote_guard import guard_host
from pilotage_api.residency import fits
from pilotage_api.resource import LabelValue
from pilotage_api.settings_part import SettingsPart


class GuardHost(SettingsPart):
    """Guards of one host, or of the hosts below a name."""

    host: HostPattern
    """Such as `guard.models.svc`, or `*.guards.example`; an address stands as it is."""
    labels: dict[str, LabelValue] = Field(default={}, max_length=16)
    """What `require.poolLabels` of a rule compares, as of a pool: `{trust: own, region: eu}`."""

    def is_of(self, host: str) -> bool:
        """Whether it stands for this host."""
        if self.host.startswith("*."):
            return host.endswith(self.host[1:])
        return host == self.host


def host_problem(url: str, known: tuple[GuardHost, ...], *, in_cluster: bool) -> str:
    """Why a guard may not be asked at all; empty where it may."""
    host = guard_host(url)
    if (known or in_cluster) and not any(one.is_of(host) for one in known):
        return f"{host} is not among the gateway's governance.content.guards"
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
