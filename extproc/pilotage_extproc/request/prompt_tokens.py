"""About how many tokens a request's prompt has: found out once, whoever asks first."""

from typing import Final

from pilotage_extproc.dialects.context_tokens import context_tokens
from pilotage_extproc.request.exchange import Exchange

CONTEXT_TOKENS: Final = "request.contextTokens"
"""The feature; conditions name it so."""
_BYTES_PER_TOKEN: Final = 4


def prompt_tokens(exchange: Exchange) -> int:
    """Exact where a stage has counted them, else estimated. Raises TypeError where a part is too deep.

    What is known is of the body that arrived: of one that rules on content have changed it is told anew.
    """
    known = None if exchange.altered else exchange.known(CONTEXT_TOKENS, None)
    if isinstance(known, int):
        return known
    found = context_tokens(exchange.call.kind, exchange.document.members, exchange.body)
    if not exchange.altered:
        exchange.learned(CONTEXT_TOKENS, found)
    return found


def expected_input(exchange: Exchange) -> int:
    """About how many tokens its prompt has as it is sent; by its bytes where that cannot be told."""
    try:
        tokens = prompt_tokens(exchange)
    except (TypeError, ValueError, LookupError):
        tokens = len(exchange.body) // _BYTES_PER_TOKEN
    if exchange.shapings:  # what its policy puts into the prompt, or takes out of it
        tokens += (exchange.transformed_bytes - len(exchange.body)) // _BYTES_PER_TOKEN
    return max(0, tokens)
