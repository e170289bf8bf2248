"""What tells the conversation of a request apart."""

from typing import Final

import xxhash

from pilotage_extproc.dialects.conversation_head import conversation_head
from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.request.exchange import Exchange

_SESSION_HEADERS: Final = (
    "x-session-id",
    "session-id",
    "x-claude-code-session-id",
    "x-session-affinity",
)
_SESSION_FIELD: Final = "prompt_cache_key"


def conversation_of(exchange: Exchange) -> int | None:
    """A digest of tenant, session where one is named, and the head of the conversation."""
    members, headers = exchange.document.members, exchange.head.headers
    session = next((value for name in _SESSION_HEADERS if (value := headers.get(name))), None)
    if session is None:
        field = members.get(_SESSION_FIELD)
        session = field if isinstance(field, str) and field else None
    head = conversation_head(DIALECTS[exchange.call.kind], members)
    if head is None and session is None:
        return None
    named = b"\x1f".join(
        text.encode("utf-8", "surrogatepass") for text in (exchange.identity.tenant, session or "")
    )
    return xxhash.xxh3_64_intdigest(named + b"\x1f" + (head or b""))
