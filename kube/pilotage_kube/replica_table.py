"""Which replicas count, judged by when their renewals were seen here: pure."""

from dataclasses import dataclass

from pilotage_kube.replica_report import ReplicaReport
from pilotage_kube.resource import ObjectKey

GONE_AFTER_SECONDS = 15.0


@dataclass(slots=True)
class _Seen:
    report: ReplicaReport
    at: float


class ReplicaTable:
    """The last word of each replica. `now` is any clock that never goes back."""

    def __init__(self, gone_after_seconds: float = GONE_AFTER_SECONDS) -> None:
        self._gone_after = gone_after_seconds
        self._seen: dict[ObjectKey, _Seen] = {}

    def observe(self, key: ObjectKey, report: ReplicaReport, now: float) -> None:
        """Take in a report; one with nothing new, not even a renewal, does not keep its replica alive."""
        seen = self._seen.get(key)
        if seen is None or seen.report != report:
            self._seen[key] = _Seen(report, now)

    def forget(self, key: ObjectKey) -> None:
        """The report is gone."""
        self._seen.pop(key, None)

    def live(self, now: float) -> tuple[ReplicaReport, ...]:
        """What replicas that still count say, by name."""
        found = [seen.report for seen in self._seen.values() if now - seen.at < self._gone_after]
        return tuple(sorted(found, key=lambda report: report.replica))
