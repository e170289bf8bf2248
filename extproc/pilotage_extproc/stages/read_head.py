"""Which call a request is, by its head alone: ours, one that is forwarded, or answered at once."""

from typing import Final

from pilotage_api.settings import GatewaySettings, OtherTraffic
from pilotage_extproc.domain.decision import DirectAnswer
from pilotage_extproc.domain.head import CallKind, RequestHead
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.request.call import Call
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.stage import Step
from pilotage_extproc.rules.routing_index import CurrentIndex
from pilotage_extproc.rules.tenant import TenantRules
from pilotage_extproc.stages.identify import Identity, identify, unread_because
from pilotage_extproc.stages.models_page import ModelPages

_MOST_KNOWN: Final = 256
_LONGEST_KNOWN: Final = 512
"""Characters; clients can make paths and types up as they like."""


class ReadHead(Step):
    """Recognises the call; what is not ours is forwarded as the settings say, or refused."""

    name = "head"

    def __init__(self, settings: GatewaySettings, current: CurrentIndex) -> None:
        self._settings = settings
        self._current = current
        self._unmatched = not settings.governance.refuses_unmatched
        self._pages = ModelPages(current.index, unmatched=self._unmatched)
        self._known: dict[tuple[str, str, str, str], Call] = {}
        """Calls that are read, by all that was looked at: most requests have the same few heads."""

    def apply(self, exchange: Exchange) -> DirectAnswer | None:
        """Recognise the call. Raises RequestRefused."""
        head = exchange.head
        headers = head.headers
        seen = (
            head.method,
            head.path,
            headers.get("content-type", ""),
            headers.get("content-encoding", ""),
        )
        call = self._known.get(seen)
        if call is not None:
            exchange.recognised(call)
            return None
        return self._recognise(exchange, head, seen)

    def _recognise(
        self, exchange: Exchange, head: RequestHead, seen: tuple[str, str, str, str]
    ) -> DirectAnswer | None:
        identity = identify(head.method, head.path)
        kind, dialect = identity.kind, identity.dialect
        if kind is CallKind.OPTIONS:
            return DirectAnswer(b"", 204, headers={"allow": ", ".join(identity.allow)})
        unread = None if dialect is None else unread_because(dialect, head.headers)
        forward_pool: str | None = None
        if head.pool is not None:
            # the gateway has fixed the pool: what is not understood goes there by load alone
            if kind is not CallKind.RESPONSE_OBJECT and (dialect is None or unread is not None):
                forward_pool = self._fixed(head.pool, unread)
        elif kind is CallKind.MODELS:
            return DirectAnswer(self._models().listed(head.headers, self._tenant(exchange)))
        elif kind is CallKind.MODEL:
            found = self._models().one(identity.model_id or "", head.headers, self._tenant(exchange))
            return DirectAnswer(found)
        elif kind is CallKind.OTHER:
            message = "This path is not served."
            forward_pool = _forwarded(self._settings.other_paths, Refusal.UNKNOWN_PATH, message)
        elif unread is not None:
            forward_pool = _forwarded(self._settings.other_bodies, Refusal.UNSUPPORTED_BODY, unread)
        call = _call(head.path, identity, forward_pool)
        if dialect is not None and unread is None and sum(map(len, seen)) <= _LONGEST_KNOWN:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[seen] = call
        exchange.recognised(call)
        return None

    def _models(self) -> ModelPages:
        if self._pages.index is not self._current.index:
            self._pages = ModelPages(self._current.index, unmatched=self._unmatched)
        return self._pages

    def _tenant(self, exchange: Exchange) -> TenantRules | None:
        return self._current.index.tenants.get(exchange.identity.tenant)

    def _fixed(self, pool: str, unread: str | None) -> str:
        """Raises RequestRefused where there is a floor: what is not understood is not governed."""
        if not self._settings.governance.floor:
            return pool
        if unread is not None:
            raise RequestRefused(Refusal.UNSUPPORTED_BODY, unread)
        raise RequestRefused(Refusal.UNKNOWN_PATH, "This path is not served.")


def _call(target: str, identity: Identity, forward_pool: str | None) -> Call:
    return Call(identity.kind, identity.path, target, identity.response_id, forward_pool)


def _forwarded(traffic: OtherTraffic, otherwise: Refusal, message: str) -> str:
    if traffic.action == "reject" or traffic.pool is None:
        raise RequestRefused(otherwise, message)
    return traffic.pool
