"""What names the values of one request."""

from pilotage_extproc.content.placeholders import Placeholders
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.stages.conversation import conversation_of


def placeholders_of(exchange: Exchange, key: bytes, *, changes: bool = True) -> Placeholders:
    """Those of a request: named for its tenant and conversation, where they are needed at all."""
    tenant = exchange.identity.tenant.encode("utf-8", "surrogatepass")
    conversation = conversation_of(exchange) if changes else None
    return Placeholders(key, tenant, b"" if conversation is None else b"%d" % conversation)
