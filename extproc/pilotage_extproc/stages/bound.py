"""How far a request's attempts may go: which failures lead on, and how long it may take."""

from typing import Final

from pilotage_api.fallback import FallbackReason
from pilotage_api.timeouts import CLIENT_TIMEOUT_HEADER, LONGEST_SECONDS, PASSED_ON_TIMEOUT_HEADER
from pilotage_extproc.dialects.side_effects import has_side_effects
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.limits import AttemptLimits
from pilotage_extproc.request.stage import Step
from pilotage_extproc.scheduling.shaping import Fallback

_ONLY_UNSENT: Final = frozenset({FallbackReason.CONNECT})
"""Nothing has reached a server: whatever the call does, it is not done twice."""


class Bound(Step):
    """Applies the rule's fallback and times; without them only calls with side effects are bound."""

    name = "bound"

    def apply(self, exchange: Exchange) -> None:
        """Set the limits. Raises RequestRefused (400) where a client's own deadline is no number."""
        route, document = exchange.route, exchange.document
        acts = has_side_effects(exchange.call.kind, document.members)
        if route.fallback is None and route.timeouts is None and not acts:
            return
        leads_on, times = _ONLY_UNSENT if acts else _leads_on(route.fallback), route.timeouts
        if times is None:
            exchange.bounded(AttemptLimits(leads_on))
            return
        total = _total_seconds(exchange, times.total_seconds, allowed=times.client_may_shorten)
        exchange.bounded(
            AttemptLimits(
                leads_on,
                first_token_seconds=times.first_token_seconds if document.stream and not acts else None,
                idle_seconds=times.idle_seconds,
                deadline=None if total is None else exchange.received_at + total,
                # a server that takes such a request and never answers would leave the next one no time
                shared=not document.stream
                and leads_on is not None
                and FallbackReason.FIRST_TOKEN in leads_on,
            )
        )


def _leads_on(fallback: Fallback | None) -> frozenset[FallbackReason] | None:
    """The reasons a rule lists."""
    return None if fallback is None else fallback.leads_on


def _total_seconds(exchange: Exchange, total: float | None, *, allowed: bool) -> float | None:
    """The rule's bound, or the client's where it may set one and that is less."""
    headers = exchange.head.headers
    if not allowed:
        return total
    said = headers.get(PASSED_ON_TIMEOUT_HEADER) or headers.get(CLIENT_TIMEOUT_HEADER)
    if not said:
        return total
    most = int(LONGEST_SECONDS * 1000)
    if not (said.isascii() and said.isdecimal() and len(said) <= 9 and 0 < int(said) <= most):
        message = f"`{CLIENT_TIMEOUT_HEADER}` must be whole milliseconds from 1 to {most}."
        raise RequestRefused(Refusal.INVALID_FIELD, message, param=CLIENT_TIMEOUT_HEADER)
    own = int(said) / 1000
    return own if total is None else min(own, total)
