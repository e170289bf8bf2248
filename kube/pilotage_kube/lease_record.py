"""What a Lease says, and whether another's hold has run out: pure, and blind to remote clocks."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self


@dataclass(slots=True, frozen=True)
class LeaseRecord:
    """The spec of a Lease. Its timestamps are opaque: they are compared for equality only."""

    holder: str = ""
    """Empty: nobody holds it."""
    duration_seconds: float = 0.0
    acquired_at: str = ""
    renewed_at: str = ""
    transitions: int = 0
    """How often the holder has changed."""

    @classmethod
    def of(cls, lease: dict[str, Any]) -> Self:
        """Read a Lease; fields of the wrong kind count as not set."""
        spec = lease.get("spec")
        spec = spec if isinstance(spec, dict) else {}
        duration, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
        return cls(
            holder=str(spec.get("holderIdentity") or ""),
            duration_seconds=float(duration) if isinstance(duration, int) else 0.0,
            acquired_at=str(spec.get("acquireTime") or ""),
            renewed_at=str(spec.get("renewTime") or ""),
            transitions=transitions if isinstance(transitions, int) else 0,
        )

    def spec(self) -> dict[str, Any]:
        """As the API server takes it."""
        return {
            "holderIdentity": self.holder,
            "leaseDurationSeconds": max(1, round(self.duration_seconds)),
            "acquireTime": self.acquired_at,
            "renewTime": self.renewed_at,
            "leaseTransitions": self.transitions,
        }


class LeaseWatch:
    """Judges a hold by when *this* process last saw the record change, on this process's clock.

    Thus a holder whose clock is hours off, ahead or behind, is neither robbed nor followed forever: only
    its renewals count, and each is worth the duration it wrote from the moment it was seen.
    """

    def __init__(self) -> None:
        self.record = LeaseRecord()
        self._seen_at: float | None = None

    def observe(self, record: LeaseRecord, now: float) -> None:
        """Take in what the API server says."""
        if self._seen_at is None or record != self.record:
            self.record = record
            self._seen_at = now

    def free(self, now: float) -> bool:
        """Whether nobody holds it any more."""
        if self._seen_at is None:
            return False
        return not self.record.holder or now - self._seen_at >= self.record.duration_seconds


def timestamp() -> str:
    """Now, as Kubernetes writes micro times; for people who read a Lease."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
