"""What pickers are given that read only the format of snapshots before this one, while there are any."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pilotage_api.previous_snapshot import FORMAT, Lowered, lowered
from pilotage_api.snapshot import RoutingSnapshot
from pilotage_kube.replica_report import ReplicaReport

_MOST_NAMED: Final = 3


def is_older(report: ReplicaReport) -> bool:
    """Whether this picker cannot read today's snapshots."""
    return FORMAT not in report.formats


@dataclass(slots=True, frozen=True)
class ForOlder:
    """Today's snapshot, for the pickers of the version before."""

    lowered: Lowered

    @property
    def version(self) -> str:
        """Of the snapshot that they are to run; empty where they keep what they have."""
        return "" if self.lowered.snapshot is None else self.lowered.snapshot.version

    @property
    def why_not(self) -> str:
        """Why they keep what they have, for people; empty where they do not."""
        kinds = {"RoutePolicy": self.lowered.policies, "Tenant": self.lowered.tenants}
        told = [f"{kind} {_listed(keys)}" for kind, keys in kinds.items() if keys]
        return f"cannot follow {', '.join(told)}" if told else ""


def _listed(keys: tuple[str, ...]) -> str:
    named = keys[:_MOST_NAMED]
    more = len(keys) - len(named)
    return f"{', '.join(named)}{f' and {more} more' if more else ''}"


class OlderPickers:
    """Lowers each snapshot once, and none while nobody needs it."""

    def __init__(self) -> None:
        self._of = ""
        self._made: ForOlder | None = None

    async def look(self, live: Iterable[ReplicaReport], snapshot: RoutingSnapshot) -> ForOlder | None:
        """What older pickers are to be given; None where no living one is older."""
        if not any(is_older(one) for one in live):
            self._of, self._made = "", None
            return None
        if self._made is None or self._of != snapshot.version:
            self._of, self._made = snapshot.version, ForOlder(await asyncio.to_thread(lowered, snapshot))
        return self._made
