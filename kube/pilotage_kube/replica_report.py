"""What one extproc process says of itself: the snapshot it follows, what it cannot use, its pools' servers.

A report is a Lease of its own: the API server keeps Leases for heartbeats, and few others watch them, while a
ConfigMap renewed every five seconds would wake every watcher of ConfigMaps in the cluster.
"""

from typing import Any, Final, TypeVar

import msgspec

from pilotage_kube.errors import KubeError

T = TypeVar("T")
REPORT_LABEL: Final = "pilotage.dev/replica-group"
REPORT_ANNOTATION: Final = "pilotage.dev/report"
MAX_REFUSALS: Final = 64
MAX_POOLS: Final = 512
"""Pools counted in one report: with longest names 180 KB, of the 256 KiB that annotations may take."""
MAX_CERTIFICATE: Final = 16 << 10
"""Characters of a certificate; one with a hundred names has half as many."""
_MAX_TEXT: Final = 256


class ReportFault(KubeError):
    """A Lease of the group that is no report."""


class Refusal(msgspec.Struct, frozen=True):
    """One resource of a snapshot that a replica does not follow as published."""

    resource: str
    """`Kind namespace/name`."""
    reason: str
    """One word, for machines."""
    message: str
    """For people."""
    uid: str = ""
    """Of a resource that the replica reads itself, so that an Event can be about it; empty for others."""


class PoolCount(msgspec.Struct, frozen=True):
    """A pool's servers, as one replica sees them."""

    ready: int
    """Those it may send requests to now."""
    total: int
    """All there are: addresses the pool names, and ports of the pods it selects."""


class ReplicaReport(msgspec.Struct, frozen=True):
    """One process's word."""

    replica: str
    """Unique among living processes: the pod's name, and the worker's where there are several."""
    version: str = ""
    """Of the snapshot in force there; empty while there is none."""
    ready: bool = False
    """Whether it takes requests; only ready replicas count for Programmed."""
    refusals: tuple[Refusal, ...] = ()
    omitted: int = 0
    """Refusals past the bound."""
    problem: str = ""
    """Why it does not follow what is published, for people; empty where it does."""
    address: str = ""
    """Where its peers reach it, `HOST:PORT`; empty where they cannot."""
    certificate: str = ""
    """What it serves there, PEM, for peers to trust this one and no other; empty for plaintext."""
    pools: dict[str, PoolCount] = {}
    """By `namespace/name`."""
    pools_omitted: int = 0
    """Pools past the bound."""
    formats: tuple[int, ...] = (1,)
    """Of snapshots that it reads; replicas that read only the first name none."""
    contract: str = "1"
    """Version of the names on the wire between Envoy and pickers; replicas of the first name none."""
    boot: str = ""
    """Differs for each life of a process."""
    renewals: int = 0
    """Counts up with each renewal."""

    def says(self) -> "ReplicaReport":
        """The report without what changes with every renewal."""
        return msgspec.structs.replace(self, renewals=0)


def bounded(report: ReplicaReport) -> ReplicaReport:
    """The report, cut to what one small object should hold."""
    kept = tuple(
        Refusal(one.resource[: 2 * _MAX_TEXT], one.reason[:64], one.message[:_MAX_TEXT], one.uid[:64])
        for one in report.refusals[:MAX_REFUSALS]
    )
    pools = dict(sorted(report.pools.items())[:MAX_POOLS])
    return msgspec.structs.replace(
        report,
        refusals=kept,
        omitted=report.omitted + len(report.refusals) - len(kept),
        problem=report.problem[: 4 * _MAX_TEXT],
        # cut it cannot be read and is not trusted; left out it would say "plaintext"
        certificate=report.certificate[:MAX_CERTIFICATE],
        pools=pools,
        pools_omitted=report.pools_omitted + len(report.pools) - len(pools),
    )


class _Meta(msgspec.Struct, frozen=True):
    annotations: dict[str, str] = {}


class _Lease(msgspec.Struct, frozen=True):
    metadata: _Meta


_LEASE: Final = msgspec.json.Decoder(_Lease)
_REPORT: Final = msgspec.json.Decoder(ReplicaReport)


def report_annotations(report: ReplicaReport) -> dict[str, Any]:
    """As the Lease carries it."""
    return {REPORT_ANNOTATION: msgspec.json.encode(bounded(report)).decode()}


def read_report(raw: memoryview) -> ReplicaReport:
    """Read a report's Lease, as an informer keeps it. Raises ReportFault."""
    return read_annotation(raw, REPORT_ANNOTATION, _REPORT)


def read_annotation(raw: memoryview, annotation: str, decoder: msgspec.json.Decoder[T]) -> T:
    """What an annotation of a Lease says. Raises ReportFault."""
    try:
        return decoder.decode(_LEASE.decode(raw).metadata.annotations[annotation])
    except KeyError as error:
        raise ReportFault(f"no annotation {annotation}") from error
    except msgspec.DecodeError as error:
        raise ReportFault(f"a report that cannot be read: {error}") from error
