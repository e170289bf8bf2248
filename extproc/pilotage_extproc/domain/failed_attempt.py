"""One attempt of a request that failed, whatever became of the request afterwards."""

from dataclasses import dataclass
from typing import Final

from pilotage_api.fallback import FallbackReason

UNREACHABLE: Final = "upstream_connection_failure"
"""Envoy's flag of an attempt of which nothing was sent."""
_LATE: Final = "upstream_request_timeout"
_BY_STATUS: Final = {
    401: FallbackReason.AUTH,
    402: FallbackReason.QUOTA,
    403: FallbackReason.AUTH,
    404: FallbackReason.NOT_FOUND,
    429: FallbackReason.RATE_LIMITED,
    529: FallbackReason.RATE_LIMITED,
}


@dataclass(slots=True, frozen=True)
class FailedAttempt:
    """What Envoy says of it. It settles nothing: a later attempt may have served the request."""

    decision_id: str
    address: str | None
    """`ip:port` it went to, or the name of a provider."""
    number: int
    """Of the attempt, from 1; 0 where that is not known."""
    http_status: int
    """0 where no answer began."""
    flags: tuple[str, ...] = ()
    """Envoy's names, such as `upstream_connection_failure`."""
    duration_seconds: float | None = None
    stay_away_seconds: float | None = None
    """How long the server asks to be left alone: `Retry-After`, or a rate limit that is used up."""
    overflow: bool = False
    """Whether the server said that the prompt is too long."""
    not_asked: bool = False
    """Whether nothing was sent, because the provider's API has no words for the request."""

    @property
    def reason(self) -> FallbackReason | None:
        """Why it failed, as rules list it; None for what leads nowhere: a wrong request, a cut answer."""
        if self.overflow:
            return FallbackReason.CONTEXT_OVERFLOW
        if self.not_asked:
            return FallbackReason.CAPABILITY
        if self.http_status == 0:
            if UNREACHABLE in self.flags:
                return FallbackReason.CONNECT
            return FallbackReason.FIRST_TOKEN if _LATE in self.flags else FallbackReason.SERVER_ERROR
        known = _BY_STATUS.get(self.http_status)
        return FallbackReason.SERVER_ERROR if known is None and self.http_status >= 500 else known

    @property
    def unanswered(self) -> bool:
        """Whether the server got the request, and no answer of it came."""
        return self.http_status == 0 and not self.not_asked and UNREACHABLE not in self.flags

    @property
    def owner(self) -> str:
        """The process that made the decision."""
        return self.decision_id.rpartition("-")[0]
