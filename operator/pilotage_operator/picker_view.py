"""The operator's view of pickers over time: who is late, and since when there is none."""

from collections.abc import Mapping

import msgspec

from pilotage_kube.clock import Time
from pilotage_kube.replica_report import PoolCount, ReplicaReport
from pilotage_operator.older_pickers import ForOlder
from pilotage_operator.programmed import Pickers
from pilotage_operator.published_generations import Generations

LATE_AFTER_SECONDS = 15.0
"""A picker that takes this long to follow is named in statuses."""
MISSING_AFTER_SECONDS = 30.0
"""Without any picker for this long, statuses say so; a restart of the only one is shorter."""
COUNTS_EVERY_SECONDS = 2.0
"""How often counts of endpoints in statuses may change: pods come and go all the time."""


class PickerView:
    """Turns reports into `Pickers`; `look` at every pass."""

    def __init__(self, clock: Time) -> None:
        self._clock = clock
        self._behind_since: dict[str, float] = {}
        self._none_since: float | None = None
        self._counted_at: float | None = None
        self._counts: dict[str, dict[str, PoolCount]] = {}

    def look(
        self,
        live: tuple[ReplicaReport, ...],
        wanted: str,
        runs: Mapping[str, Generations],
        older: ForOlder | None = None,
    ) -> tuple[Pickers, float | None]:
        """The pickers now, and in how many seconds to look again where nothing else happens.

        `wanted` is the version to be followed; `older` says what those follow that cannot read it.
        """
        now = self._clock()
        again: list[float] = []
        right = {wanted} if older is None else {wanted, older.version}
        behind = {one.replica for one in live if one.ready and one.version not in right}
        self._behind_since = {name: self._behind_since.get(name, now) for name in behind}
        late = {name for name, since in self._behind_since.items() if now - since >= LATE_AFTER_SECONDS}
        again += [
            since + LATE_AFTER_SECONDS - now for name, since in self._behind_since.items() if name not in late
        ]
        if any(one.ready for one in live):
            self._none_since = None
        elif self._none_since is None:
            self._none_since = now
        missing = False
        if self._none_since is not None:
            left = self._none_since + MISSING_AFTER_SECONDS - now
            missing = left <= 0
            again += [] if missing else [left]
        again += self._count(live, now)
        said = tuple(_with_counts(one, self._counts.get(one.replica, {})) for one in live)
        why_not = "" if older is None else older.why_not
        return Pickers(said, frozenset(late), missing, runs, why_not), min(again) if again else None

    def _count(self, live: tuple[ReplicaReport, ...], now: float) -> list[float]:
        counts = {one.replica: one.pools for one in live}
        if counts == self._counts:
            return []
        left = 0.0 if self._counted_at is None else self._counted_at + COUNTS_EVERY_SECONDS - now
        if left > 0:
            return [left]
        self._counts, self._counted_at = counts, now
        return []


def _with_counts(report: ReplicaReport, counts: dict[str, PoolCount]) -> ReplicaReport:
    if report.pools is counts:
        return report
    return msgspec.structs.replace(report.says(), pools=counts)
