"""What a process counts about guards over HTTP."""

from typing import Final

from pilotage_extproc.telemetry.instruments import Count, Distribution, Instrument

_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0)
_MOST_HOSTS: Final = 64


class GuardTelemetry:
    """Instruments of guards, by the hosts that policies name and the settings allow."""

    def __init__(self) -> None:
        self.calls = Count(
            "pilotage_guard_calls",
            "Calls of guards over HTTP, by how they ended: allow, flag, block, timeout, failed, abandoned; "
            "left_alone and full are calls that were not made.",
            ("guard", "result"),
            bound=_MOST_HOSTS * 8,
        )
        self.seconds = Distribution(
            "pilotage_guard_seconds", "Time that calls of guards took, answered or not.", _BUCKETS
        )

    def asked(self, host: str, result: str, seconds: float) -> None:
        """Count a call that was made."""
        self.calls.add(host, result)
        self.seconds.observe(seconds)

    def not_asked(self, host: str, why: str) -> None:
        """Count one that was not: `left_alone` or `full`."""
        self.calls.add(host, why)

    def instruments(self) -> list[Instrument]:
        """All of them."""
        return [self.calls, self.seconds]
