"""What a pick tells Envoy's router: which failures lead to the next of the list, and how long to wait.

https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/http/http_filters/router_filter says what each
header does. Only the picker may set them: a client's are dropped.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from pilotage_api.fallback import FallbackReason
from pilotage_api.timeouts import IDLE_STEPS_SECONDS
from pilotage_extproc.envoy import contract as names
from pilotage_extproc.envoy.ext_proc.wire import Kept, set_header
from pilotage_extproc.request.limits import AttemptLimits, attempt_share

USUAL_CONDITIONS: Final = ("5xx", "connect-failure", "reset", "retriable-status-codes")
"""Where no rule lists reasons."""
USUAL_STATUSES: Final = (429,)
_CONDITIONS: Final[Mapping[FallbackReason, tuple[str, ...]]] = MappingProxyType(
    {
        FallbackReason.CONNECT: ("connect-failure", "refused-stream", "reset-before-request"),
        FallbackReason.SERVER_ERROR: ("5xx", "reset"),
        # a first token that is late is a reset to the router, and so is a server that breaks off before it
        FallbackReason.FIRST_TOKEN: ("reset",),
        FallbackReason.CONTEXT_OVERFLOW: ("retriable-headers",),
    }
)
_STATUSES: Final[Mapping[FallbackReason, tuple[int, ...]]] = MappingProxyType(
    {
        FallbackReason.RATE_LIMITED: (429, 529),
        FallbackReason.AUTH: (401, 403),
        FallbackReason.QUOTA: (402,),
        FallbackReason.NOT_FOUND: (404,),
    }
)
_BY_STATUS: Final = "retriable-status-codes"


class RouterLimits(NamedTuple):
    """What the router is told of one request."""

    leads_on: frozenset[FallbackReason] | None
    attempt_ms: int | None
    """Of each attempt: to a stream's first content, to the end of another answer."""
    total_ms: int | None
    idle_seconds: float | None

    @property
    def route(self) -> str | None:
        """Which of Envoy's routes it takes, as metadata names it; None is the usual one."""
        if self.idle_seconds is not None:
            return str(idle_step(self.idle_seconds))
        return None if self.leads_on is None else names.USUAL_IDLE

    @property
    def reads_overflow(self) -> bool:
        """Whether answers are looked at for a prompt that is too long."""
        return self.leads_on is not None and FallbackReason.CONTEXT_OVERFLOW in self.leads_on


def router_limits(limits: AttemptLimits, now: float, attempts: int) -> RouterLimits:
    """The limits of so many attempts, as they are at `now`, monotonic seconds: what has passed is gone."""
    deadline = limits.deadline
    each = limits.first_token_seconds
    if each is None:
        each = attempt_share(limits, now, attempts)
    return RouterLimits(
        limits.leads_on,
        None if each is None else _milliseconds(each),
        None if deadline is None else _milliseconds(deadline - now),
        limits.idle_seconds,
    )


def idle_step(seconds: float) -> int:
    """The least silence Envoy has a route for that is not shorter; the longest there is beyond them."""
    return next((step for step in IDLE_STEPS_SECONDS if step >= seconds), IDLE_STEPS_SECONDS[-1])


class RetryHeaders:
    """Writes the headers; what repeats is written once."""

    def __init__(self) -> None:
        self._conditions = Kept(_conditions)
        self._attempt: Kept[int, bytes] = Kept(lambda ms: set_header(names.PER_TRY_TIMEOUT, str(ms)))

    def written(self, limits: RouterLimits) -> bytes:
        """Header mutations."""
        headers = b"" if limits.route is None else self._conditions[limits.leads_on]
        if limits.attempt_ms is not None:
            headers += self._attempt[limits.attempt_ms]
        if limits.total_ms is not None:
            headers += set_header(names.TOTAL_TIMEOUT, str(limits.total_ms))
        return headers


def _conditions(leads_on: frozenset[FallbackReason] | None) -> bytes:
    conditions: tuple[str, ...]
    statuses: tuple[int, ...]
    if leads_on is None:
        conditions, statuses = USUAL_CONDITIONS, USUAL_STATUSES
    else:
        listed = sorted(leads_on)
        statuses = tuple([one for reason in listed for one in _STATUSES.get(reason, ())])
        conditions = tuple(dict.fromkeys(one for reason in listed for one in _CONDITIONS.get(reason, ())))
        conditions += (_BY_STATUS,) if statuses else ()
    headers = set_header(names.RETRY_ON, ",".join(conditions))
    if statuses:
        headers += set_header(names.RETRIABLE_STATUSES, ",".join(map(str, statuses)))
    if "retriable-headers" in conditions:
        headers += set_header(names.RETRIABLE_HEADERS, names.OVERFLOWS)
    return headers


def _milliseconds(seconds: float) -> int:
    return max(1, math.ceil(seconds * 1000))
