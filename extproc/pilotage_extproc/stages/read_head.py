"""Which call a request is, by its head alone: ours, one that is forwarded, or answered at once."""

from collections.abc import Callable
from typing import Final

from pilotage_api.settings import GatewaySettings, OtherTraffic
from pilotage_extproc.domain.decision import DirectAnswer
from pilotage_extproc.domain.head import CallKind, RequestHead
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.request.call import Call
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.stage import Step
from pilotage_extproc.stages.identify import INFERENCE_PATHS, Identity, identify

INFERENCE_KINDS: Final = frozenset(INFERENCE_PATHS.values())
_JSON_CODINGS: Final = ("", "identity")


class ReadHead(Step):
    """Recognises the call; what is not ours is forwarded as the settings say, or refused."""

    name = "head"

    def __init__(self, settings: GatewaySettings, models_page: Callable[[], bytes]) -> None:
        self._settings = settings
        self._models_page = models_page

    def apply(self, exchange: Exchange) -> DirectAnswer | None:
        """Recognise the call. Raises RequestRefused."""
        head = exchange.head
        identity = identify(head.method, head.path)
        if head.pool is not None:
            exchange.recognised(_call(head, identity, _pool_of_unknown(head, identity)))
            return None
        if identity.kind is CallKind.MODELS:
            return DirectAnswer(self._models_page())
        exchange.recognised(_call(head, identity, self._forward_pool(head, identity)))
        return None

    def _forward_pool(self, head: RequestHead, identity: Identity) -> str | None:
        kind, pool = identity.kind, None
        if kind is CallKind.OTHER:
            return _forwarded(self._settings.other_paths, Refusal.UNKNOWN_PATH, "This path is not served.")
        if kind is not CallKind.RESPONSE_OBJECT:
            content_type = head.headers.get("content-type", "")
            if content_type and "json" not in content_type.partition(";")[0].lower():
                message = f"content-type must be application/json, not {content_type[:100]!r}."
                pool = _forwarded(self._settings.other_bodies, Refusal.UNSUPPORTED_BODY, message)
            coding = head.headers.get("content-encoding", "")
            if coding not in _JSON_CODINGS:
                message = f"The body must be sent without content-encoding, not as {coding[:100]!r}."
                pool = _forwarded(self._settings.other_bodies, Refusal.UNSUPPORTED_BODY, message)
        return pool


def _call(head: RequestHead, identity: Identity, forward_pool: str | None) -> Call:
    return Call(identity.kind, identity.path, head.path, identity.response_id, forward_pool)


def _pool_of_unknown(head: RequestHead, identity: Identity) -> str | None:
    """The gateway has fixed the pool: what is not understood goes there by load alone."""
    json = "json" in head.headers.get("content-type", "json").lower()
    plain = head.headers.get("content-encoding", "") in _JSON_CODINGS
    understood = identity.kind in INFERENCE_KINDS and json and plain
    return None if understood or identity.kind is CallKind.RESPONSE_OBJECT else head.pool


def _forwarded(traffic: OtherTraffic, otherwise: Refusal, message: str) -> str:
    if traffic.action == "reject" or traffic.pool is None:
        raise RequestRefused(otherwise, message)
    return traffic.pool
