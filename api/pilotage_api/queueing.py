"""Where requests wait while servers are full: a pool's `admission` and a policy's `queue`."""

from collections.abc import Iterable
from typing import Final

from pydantic import ConfigDict, Field

from pilotage_api.queue_snapshot import QueueSnapshot
from pilotage_api.resource import Block, Problem, cel
from pilotage_api.scheduling import Duration, Share, seconds

LONGEST_WAIT_SECONDS: Final = 300.0
"""The bundled Envoy lets the picker ask for no more."""
_LONGEST: Final = "5m"


class Admission(Block):
    """How far servers are filled before requests wait at the picker."""

    queue_depth: int = Field(ge=1, le=100_000, strict=True)
    """Requests that may wait in a server's engine beside those that it runs. At this bound it has no room:
    requests of policies with a `queue` wait at the picker, those of others go to servers with room first."""


class Queue(Block):
    """How a policy's requests wait at the picker while no server has room, or none is ready."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (f"duration(self.maxWait) <= duration('{_LONGEST}')", f"maxWait: at most {_LONGEST}")
        )
    )

    max_wait: Duration
    """Longest wait of a request; then it is answered 503 `queue_timeout`."""
    max_requests: int = Field(default=500, ge=1, le=10_000, strict=True)
    """Waiting at one time in one picker; further ones are answered 429 `queue_full`."""
    max_bytes: int = Field(default=67_108_864, ge=1, le=4_294_967_296, strict=True)
    """Bytes of their bodies together."""
    minimum_share: Share = "0.05"
    """Of the requests let through, to each lower priority that waits beside higher ones."""
    priority: int = Field(default=0, ge=-1000, le=1000, strict=True)
    """Of its requests, to which the tenant's is added. Higher ones go first; those below 0 may be shed."""

    def problems(self) -> Iterable[Problem]:
        """A wait that is longer than can be kept."""
        if seconds(self.max_wait) > LONGEST_WAIT_SECONDS:
            message = f"{self.max_wait!r} is more than {_LONGEST}"
            yield Problem("invalid-value", "maxWait", message, "write such as 30s")

    def snapshot(self) -> QueueSnapshot:
        """What extproc needs of it."""
        return QueueSnapshot(
            max_wait_seconds=seconds(self.max_wait),
            max_requests=self.max_requests,
            max_bytes=self.max_bytes,
            minimum_share=float(self.minimum_share),
            priority=self.priority,
        )
