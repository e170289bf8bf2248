"""What pickers refuse of resources that have no status of ours, as news: pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pilotage_kube.replica_report import Refusal, ReplicaReport
from pilotage_kube.resource import INFERENCE_POOLS
from pilotage_operator.event_writer import Subject
from pilotage_operator.plan import Told

LASTS_SECONDS: Final = 6.0
"""A problem is news once it has lasted so long: pods that are not listed yet soon are, and a port that passes
from one pool to another is tried again after five seconds."""
QUIET_SECONDS: Final = 60.0
"""A problem is over when no picker named it for so long: pickers come and go. Where its message changes, it
is told anew no sooner."""
RENEWED_SECONDS: Final = 900.0
"""A problem that lasts is told again: API servers forget Events, after an hour where nobody says otherwise.
One that is still there is not written twice."""
_TYPES: Final = {INFERENCE_POOLS.kind: INFERENCE_POOLS}


@dataclass(slots=True, frozen=True)
class News:
    """One problem that was not told yet."""

    subject: Subject
    told: Told

    @property
    def key(self) -> tuple[Subject, str]:
        """The same for whichever picker has the problem."""
        return self.subject, self.told.reason


@dataclass(slots=True)
class _Known:
    message: str
    told_at: float
    seen_at: float


class PickerNews:
    """Finds what is new in reports. `now` is any clock that never goes back."""

    def __init__(self) -> None:
        self._since: dict[tuple[Subject, str], float] = {}
        self._known: dict[tuple[Subject, str], _Known] = {}

    def look(self, live: Iterable[ReplicaReport], now: float) -> tuple[tuple[News, ...], float | None]:
        """Problems not told yet, one for however many pickers have it; they are news until `settle`d.

        And in how many seconds to look again where nothing else happens.
        """
        said: dict[tuple[Subject, str], set[str]] = {}
        for report in live:
            for refusal in report.refusals:
                subject = _subject(refusal)
                if subject is not None:
                    said.setdefault((subject, refusal.reason), set()).add(refusal.message)
        self._since = {key: self._since.get(key, now) for key in said}
        news: list[News] = []
        again: list[float] = []
        for (subject, reason), messages in sorted(said.items(), key=lambda one: str(one[0])):
            known = self._known.get((subject, reason))
            if known is not None:
                known.seen_at = now
                quiet = RENEWED_SECONDS if known.message in messages else QUIET_SECONDS
                if now - known.told_at < quiet:
                    continue
            left = self._since[subject, reason] + LASTS_SECONDS - now
            if left > 0:
                again.append(left)
                continue
            news.append(News(subject, Told(warning=True, reason=reason, note=min(messages))))
        over = [key for key, known in self._known.items() if now - known.seen_at >= QUIET_SECONDS]
        for key in over:
            del self._known[key]
        return tuple(news), min(again, default=None)

    def settle(self, news: News, now: float) -> None:
        """This was told."""
        self._known[news.key] = _Known(news.told.note, now, now)


def _subject(refusal: Refusal) -> Subject | None:
    """The resource that a refusal is about; None where its own status tells it, or it is not known which."""
    kind, _, key = refusal.resource.partition(" ")
    namespace, _, name = key.partition("/")
    resource = _TYPES.get(kind)
    if resource is None or not (namespace and name and refusal.uid):
        return None
    return Subject(resource.api_version, kind, namespace, name, refusal.uid)
