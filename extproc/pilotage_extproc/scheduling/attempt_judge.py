"""What a failed attempt says of its server, its model and its pool, as soon as it is known.

The request it belongs to may be answered by the next of its list and stream for an hour: whoever failed
has to be left alone long before that one is settled.
"""

from collections.abc import Callable
from typing import Final

from pilotage_api.fallback import FallbackReason
from pilotage_extproc.domain.decision import Target
from pilotage_extproc.domain.failed_attempt import FailedAttempt
from pilotage_extproc.state.breakers import LONGEST_SECONDS, Breakers, Circuit
from pilotage_extproc.state.endpoints import DEFAULT_HEALTH, EndpointTable
from pilotage_extproc.state.health import HealthLedger

_OF_SERVERS: Final = frozenset(
    {FallbackReason.CONNECT, FallbackReason.SERVER_ERROR, FallbackReason.FIRST_TOKEN}
)
_OF_REQUESTS: Final = frozenset({FallbackReason.CONTEXT_OVERFLOW, FallbackReason.CAPABILITY})
_MAYBE_THE_REQUESTS: Final = frozenset({500, 501})
_OF_PROVIDERS: Final = frozenset({FallbackReason.AUTH, FallbackReason.QUOTA})


class AttemptJudge:
    """Opens breakers of servers, models and pools."""

    def __init__(
        self,
        table: EndpointTable,
        health: HealthLedger,
        breakers: Breakers,
        *,
        is_external: Callable[[str], bool],
    ) -> None:
        """`is_external` says whether a pool (`namespace/name`) is a provider, to whom the gateway's own
        credentials are sent: elsewhere a client's key, or a path that its servers do not have, could open
        breakers for others."""
        self._table = table
        self._health = health
        self._breakers = breakers
        self._is_external = is_external

    def failed(self, target: Target, attempt: FailedAttempt, now: float) -> bool:
        """An attempt at this target failed.

        Returns whether that was the fault of server, model or pool for sure. A 500 may be the request's own:
        that is judged when it is known whether another server answers it.
        """
        reason = attempt.reason
        if attempt.http_status in _MAYBE_THE_REQUESTS or reason in _OF_REQUESTS:
            return False
        if reason in _OF_SERVERS:
            if self._still_there(target):
                self._health.failed(target.row, now)
        else:
            self.failed_settled(target, attempt, now)
        return True

    def failed_settled(self, target: Target, attempt: FailedAttempt, now: float) -> None:
        """As `failed`, of a request that has been settled: that has judged its servers already."""
        reason = attempt.reason
        if reason is FallbackReason.RATE_LIMITED:
            self._limited(target, attempt.stay_away_seconds, now)
        elif self._is_external(target.pool):
            if reason in _OF_PROVIDERS:
                self._count(Circuit(target.pool), target, now)
            elif reason is FallbackReason.NOT_FOUND:
                self._count(Circuit(target.pool, target.upstream_model), target, now)

    def _limited(self, target: Target, seconds: float | None, now: float) -> None:
        """A provider limits by model; an own server for itself."""
        of_model = Circuit(target.pool, target.upstream_model)
        if self._is_external(target.pool):
            if seconds is None:
                self._count(of_model, target, now)
            else:
                self._breakers.stay_away(of_model, seconds, now)
        elif seconds is not None and self._still_there(target):
            self._health.rest(target.row, min(seconds, LONGEST_SECONDS), now)

    def _count(self, circuit: Circuit, target: Target, now: float) -> None:
        facts = self._table.facts_of(target.address)
        health = DEFAULT_HEALTH if facts is None else facts.health
        self._breakers.failed(
            circuit, now, most_failures=health.consecutive_failures, open_seconds=health.ejection_seconds
        )

    def _still_there(self, target: Target) -> bool:
        return self._table.row_of(target.address) == target.row
