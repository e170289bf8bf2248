"""Which addresses a request may go to, and the refusal where none of them is available."""

from typing import Final

from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.domain.subset import allows
from pilotage_extproc.request.exchange import Exchange

_RETRY_SECONDS: Final = 1


def allowed_places(exchange: Exchange) -> tuple[str, ...] | None:
    """What the gateway's hint and a stored response allow; None is all."""
    subset, only = exchange.head.subset, exchange.fixed_address
    if only is None:
        return subset
    return (only,) if allows(subset, only) else ()


def nowhere(exchange: Exchange) -> RequestRefused:
    """Why there is no endpoint for it."""
    if exchange.fixed_address is not None:
        message = "The model server that holds the response is not available."
        return RequestRefused(Refusal.RESPONSE_NOT_FOUND, message)
    if exchange.head.subset is not None:
        message = "The gateway's endpoint subset holds no available endpoint of this model."
        return RequestRefused(Refusal.SUBSET_EMPTY, message)
    kind, candidates = exchange.call.kind, exchange.route.candidates
    lacking = candidates.lacking.get(kind)
    if lacking is not None and lacking.all():
        message = f"This model is at providers whose API has no call like {kind}."
        return RequestRefused(Refusal.NO_ENDPOINTS, message)
    message = "No endpoint of this model is available."
    return RequestRefused(Refusal.NO_ENDPOINTS, message, retry_after_seconds=_RETRY_SECONDS)
