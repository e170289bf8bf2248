"""Exact tokens of a prompt, where the settings name a vocabulary."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import ClassVar, Final

from pilotage_extproc.dialects.context_tokens import context_tokens
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.prompt_tokens import CONTEXT_TOKENS
from pilotage_extproc.request.stage import OnError, Step

_LARGE_BYTES: Final = 8 * 1024


class CountTokens(Step):
    """Counts before rules are evaluated; a large body in a thread. Where it fails tokens are estimated."""

    name: ClassVar[str] = "tokens"
    provides = frozenset({CONTEXT_TOKENS})
    on_error: ClassVar[OnError] = OnError.SKIP

    def __init__(self, count: Callable[[bytes], int]) -> None:
        self._count = count

    def apply(self, exchange: Exchange) -> Awaitable[None] | None:
        """Count the prompt's tokens."""
        if len(exchange.body) > _LARGE_BYTES:
            return self._in_thread(exchange)
        exchange.learned(CONTEXT_TOKENS, self._of(exchange))
        return None

    async def _in_thread(self, exchange: Exchange) -> None:
        exchange.learned(CONTEXT_TOKENS, await asyncio.to_thread(self._of, exchange))

    def _of(self, exchange: Exchange) -> int:
        return context_tokens(exchange.call.kind, exchange.document.members, exchange.body, count=self._count)
