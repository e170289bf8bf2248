"""The server that holds a stored response: calls on it, and what follows on it, must go there."""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from pilotage_extproc.dialects.call import Members
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.request.containers import is_there
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.stage import Step
from pilotage_extproc.stages.read_body import LARGE_BODY_BYTES, ReadBody
from pilotage_extproc.state.responses import ResponseOwner, ResponseOwners

WAIT_SECONDS: Final = 1.0
"""How long a call on a stored response waits for its server to be known: the access-log entry that says so
may be on its way."""


_WHOLE: Final = "send the whole conversation"
_NEW: Final = "leave it out for a new one"
_NOT_KEPT_APART: Final[Mapping[CallKind, Mapping[str, str]]] = MappingProxyType(
    {
        CallKind.RESPONSES: {
            "conversation": "send `previous_response_id`, or the whole conversation",
            "request_id": "the server names its responses",
        },
        CallKind.MESSAGES: {
            "thread": _WHOLE,
            "diagnostics": "the answer's usage says what came from the cache",
        },
        CallKind.COUNT_TOKENS: {"thread": _WHOLE},
    }
)
"""Fields that would read or replace what another tenant has stored, and what to do without them."""
_CONTAINER: Final = "container"


_REFERENCE: Final = "item_reference"


class FindResponse(Step):
    """Binds a request to the server of the stored response that it names, if that is its tenant's."""

    name = "stored response"

    def __init__(self, owners: ResponseOwners, is_known: Callable[[str], bool], read_body: ReadBody) -> None:
        """`is_known` says whether an address is still one of ours."""
        self._owners = owners
        self._is_known = is_known
        self._read_body = read_body

    def apply(self, exchange: Exchange) -> Awaitable[None] | None:
        """Find it, waiting a little. Raises RequestRefused (400, 404)."""
        call = exchange.call
        if call.forward_pool is not None:
            return None
        if call.kind is CallKind.RESPONSE_OBJECT:
            return self._bind(exchange, call.response_id or "", "response_id")
        if exchange.identity.tenant and call.kind in _NOT_KEPT_APART:
            _check_kept_apart(call.kind, exchange.document.members)
        previous = exchange.document.previous_response_id
        return None if previous is None else self._follow(exchange, previous)

    async def _follow(self, exchange: Exchange, response_id: str) -> None:
        if len(exchange.body) <= LARGE_BODY_BYTES or self._owners.find(response_id) is not None:
            await self._bind(exchange, response_id, "previous_response_id")
            return
        exchange.unread()  # rather parsed again than many waiting, each many times its size
        await self._bind(exchange, response_id, "previous_response_id")
        await self._read_body.read_large(exchange)

    async def _bind(self, exchange: Exchange, response_id: str, param: str) -> None:
        owner = await self._owners.wait_for(response_id, WAIT_SECONDS, exchange.identity.tenant)
        if owner is None or not self._may_reach(exchange, owner):
            raise RequestRefused(
                Refusal.RESPONSE_NOT_FOUND,
                f"No model server here is known to hold the response {response_id[:100]!r}.",
                param=param,
            )
        exchange.bound_to(owner.address)

    def _may_reach(self, exchange: Exchange, owner: ResponseOwner) -> bool:
        """Whether it is the caller's, on a server of ours, and not fetched where a part was withheld."""
        fetched = exchange.call.kind is CallKind.RESPONSE_OBJECT and exchange.head.method != "DELETE"
        theirs = owner.holder == exchange.identity.holder()
        return theirs and self._is_known(owner.address) and not (owner.withheld and fetched)


def _check_kept_apart(kind: CallKind, members: Members) -> None:
    given = members.get("input")
    if kind is CallKind.RESPONSES and isinstance(given, list) and any(map(_is_reference, given)):
        message = "References to stored items are not served to tenants: send the items themselves."
        raise RequestRefused(Refusal.INVALID_FIELD, message, param="input")
    for name, instead in _NOT_KEPT_APART[kind].items():
        if members.get(name) is not None:
            raise _not_kept_apart(name, instead)
    if is_there(members.get(_CONTAINER)):
        raise _not_kept_apart(_CONTAINER, _NEW)


def _not_kept_apart(name: str, instead: str) -> RequestRefused:
    message = f"`{name}` is not served where tenants share the model servers: {instead}."
    return RequestRefused(Refusal.INVALID_FIELD, message, param=name)


def _is_reference(item: Any) -> bool:
    """Whether an item stands for one that the provider has stored, by whomever."""
    if not isinstance(item, dict):
        return False
    kind = item.get("type")
    return kind == _REFERENCE or (kind is None and item.get("id") is not None and item.get("role") is None)
