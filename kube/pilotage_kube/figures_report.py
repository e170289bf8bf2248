"""What one extproc process knows of tenants' budgets.

A Lease of its own beside the replica's report: that is renewed every five seconds and read by all peers, this
changes with traffic, is larger, and only the operator reads it. It goes with the replica's pod.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from pilotage_api.tenant_spending import PartyFigures
from pilotage_kube.replica_report import read_annotation

FIGURES_LABEL: Final = "pilotage.dev/figures-group"
FIGURES_ANNOTATION: Final = "pilotage.dev/figures"
MOST_BYTES: Final = 200_000
"""Of one report, of the 256 KiB that annotations may take."""


class TenantFigures(msgspec.Struct, frozen=True, array_like=True, order=True):
    """Figures of one budget of one party of a tenant."""

    tenant: str
    """Its name."""
    figures: PartyFigures


class FiguresReport(msgspec.Struct, frozen=True):
    """One process's word."""

    replica: str
    shared: bool = False
    """Whether the figures are those of a store that all processes share; else of this process alone."""
    budgets: tuple[TenantFigures, ...] = ()
    left_out: int = 0
    """How many more there are."""
    at: float = 0.0
    """When they were read, seconds since the epoch."""

    def says(self) -> "FiguresReport":
        """The report without the time of reading."""
        return msgspec.structs.replace(self, at=0.0)


_REPORT: Final = msgspec.json.Decoder(FiguresReport)


def bounded(
    replica: str, budgets: Iterable[TenantFigures], *, shared: bool, at: float = 0.0
) -> FiguresReport:
    """A report of these, cut to what one object should hold: what was spent most of stays."""
    ordered = sorted(budgets, key=lambda one: (-one.figures.spent - one.figures.held, one))
    room = MOST_BYTES
    kept: list[TenantFigures] = []
    for one in ordered:
        room -= len(msgspec.json.encode(one)) + 1
        if room < 0:
            break
        kept.append(one)
    return FiguresReport(replica, shared, tuple(sorted(kept)), len(ordered) - len(kept), at)


def figures_annotations(report: FiguresReport) -> dict[str, str]:
    """As the Lease carries it."""
    return {FIGURES_ANNOTATION: msgspec.json.encode(report).decode()}


def read_figures(raw: memoryview) -> FiguresReport:
    """Read a report's Lease, as an informer keeps it. Raises ReportFault."""
    return read_annotation(raw, FIGURES_ANNOTATION, _REPORT)
