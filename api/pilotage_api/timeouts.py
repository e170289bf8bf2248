"""How long a rule lets a request take."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from pydantic import ConfigDict, Field

from pilotage_api.resource import STAYS_LEFT_OUT, Block, Problem, cel
from pilotage_api.scheduling import Duration, seconds
from pilotage_api.snapshot import TimeoutsSnapshot

LONGEST_SECONDS: Final = 86_400.0
CLIENT_TIMEOUT_HEADER: Final = "x-pilotage-timeout-ms"
"""A client's own bound on its request, in milliseconds, where its rule allows one."""
PASSED_ON_TIMEOUT_HEADER: Final = "pilotage-timeout-ms"
"""What the bundled Envoy calls it on the way to the picker: it drops headers of clients that begin with
`x-pilotage-`."""
IDLE_STEPS_SECONDS: Final = (1, 2, 3, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1800, 3600)
"""Silences that the bundled Envoy can bound request by request: a rule's `idle` is rounded up to one."""
_LONGEST: Final[Mapping[str, str]] = MappingProxyType({"firstToken": "24h", "idle": "1h", "total": "24h"})


class Timeouts(Block):
    """Bounds on the time of a rule's requests."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            *(
                (
                    f"!has(self.{field}) || duration(self.{field}) <= duration('{longest}')",
                    f"{field}: at most {longest}",
                )
                for field, longest in _LONGEST.items()
            )
        )
    )

    first_token: Duration | None = None
    """Of one attempt at a stream, to the first byte of its answer; then the next of the list is tried."""
    idle: Duration | None = None
    """Longest silence, the wait for the first byte included; rounded up to a step of docs/fallback.md."""
    total: Duration | None = None
    """The whole request, all attempts together."""
    client_may_shorten: bool = Field(default=False, json_schema_extra=STAYS_LEFT_OUT)
    """Whether a client's header `x-pilotage-timeout-ms` shortens `total`, or sets it where there is none."""

    def problems(self) -> Iterable[Problem]:
        """Times that are longer than can be kept."""
        given = (self.first_token, self.idle, self.total)
        for (field, longest), value in zip(_LONGEST.items(), given, strict=True):
            if value is not None and seconds(value) > seconds(longest):
                yield Problem(
                    "invalid-value", field, f"{value!r} is more than {longest}", "write such as 30s"
                )

    def snapshot(self) -> TimeoutsSnapshot:
        """What extproc needs of it."""
        return TimeoutsSnapshot(
            first_token_seconds=_maybe(self.first_token),
            idle_seconds=_maybe(self.idle),
            total_seconds=_maybe(self.total),
            client_may_shorten=self.client_may_shorten,
        )


def _maybe(duration: str | None) -> float | None:
    return None if duration is None else seconds(duration)
