"""What a request's attempts may take, and which failures lead from one to the next."""

from typing import Final, NamedTuple

from pilotage_api.fallback import FallbackReason


class AttemptLimits(NamedTuple):
    """Of one request; all None is as the gateway is set."""

    leads_on: frozenset[FallbackReason] | None = None
    """Reasons for which the next attempt is made; None is the gateway's usual ones."""
    first_token_seconds: float | None = None
    """Of each attempt, to the first byte of its answer; only for streams."""
    idle_seconds: float | None = None
    deadline: float | None = None
    """When all of it has to be over, monotonic seconds."""
    shared: bool = False
    """Whether each attempt gets an equal share of the time that is left; only for answers without streams."""


USUAL: Final = AttemptLimits()
"""No rule, client or kind of call says otherwise."""
_USUALLY: Final = frozenset(
    {
        FallbackReason.CONNECT,
        FallbackReason.SERVER_ERROR,
        FallbackReason.RATE_LIMITED,
        FallbackReason.FIRST_TOKEN,
    }
)


def attempt_share(limits: AttemptLimits, now: float, attempts: int) -> float | None:
    """Seconds that each of so many attempts may take, from `now`; None is no bound but the whole."""
    if not limits.shared or limits.deadline is None or attempts < 2:
        return None
    return max(0.0, limits.deadline - now) / attempts


def leads_on(limits: AttemptLimits, reason: FallbackReason) -> bool:
    """Whether an attempt that failed so is followed by the next."""
    return reason in (_USUALLY if limits.leads_on is None else limits.leads_on)
