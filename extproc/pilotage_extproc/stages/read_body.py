"""The body, checked and parsed; large ones in turn and with pauses, so that they hold nobody up."""

import asyncio
from collections.abc import Awaitable
from typing import Final

from pilotage_extproc.dialects.call import BodyForm
from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.stage import Step
from pilotage_extproc.stages.parse import parse_body, read_body, structure_steps

LARGE_BODY_BYTES: Final = 1 << 20
"""Bodies above this yield the loop between steps, so that other requests are not held up."""


class ReadBody(Step):
    """Parses the body of a call that is ours."""

    name = "body"

    def __init__(self, max_structure: int) -> None:
        self._max_structure = max_structure
        self._one_parsing = asyncio.Lock()
        """Large bodies are read one at a time: parsed, each is in memory twice."""

    def apply(self, exchange: Exchange) -> Awaitable[None] | None:
        """Parse it. Raises RequestRefused (400) that names the field and the fix."""
        call = exchange.call
        if call.forward_pool is not None or call.kind is CallKind.RESPONSE_OBJECT:
            return None
        if len(exchange.body) > LARGE_BODY_BYTES:
            return self.read_large(exchange)
        content_type = ""
        if DIALECTS[call.kind].body is BodyForm.MULTIPART:
            content_type = exchange.head.headers.get("content-type", "")
        document = parse_body(
            call.kind, exchange.body, max_structure=self._max_structure, content_type=content_type
        )
        exchange.read(document)
        return None

    async def read_large(self, exchange: Exchange) -> None:
        """Parse a large body, in turn. Raises RequestRefused (400)."""
        async with self._one_parsing:
            for _ in structure_steps(exchange.call.kind, exchange.body, self._max_structure):
                await asyncio.sleep(0)
            content_type = exchange.head.headers.get("content-type", "")
            document = read_body(exchange.call.kind, exchange.body, content_type)
            await asyncio.sleep(0)
        exchange.read(document)
