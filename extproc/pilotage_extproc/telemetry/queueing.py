"""What a process counts about requests that wait for room."""

from typing import Final

from pilotage_extproc.telemetry.instruments import Count, Distribution, Instrument

_WAIT_BUCKETS: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class QueueTelemetry:
    """Instruments of the waiting line; labels are names of policies."""

    def __init__(self) -> None:
        self.ended = Count(
            "pilotage_queue_waits",
            "Waits that ended, by how: served, left, full, saturated, queue_timeout, gateway_draining.",
            ("policy", "ended"),
        )
        self.wait_seconds = Distribution(
            "pilotage_queue_wait_seconds",
            "Time that requests waited for room before they were sent.",
            _WAIT_BUCKETS,
            "policy",
        )

    def wait_ended(self, policy: str, how: str, seconds: float) -> None:
        """Count a wait."""
        self.ended.add(policy, how)
        if how == "served":
            self.wait_seconds.observe(seconds, policy)

    def instruments(self) -> list[Instrument]:
        """All of them."""
        return [self.ended, self.wait_seconds]
