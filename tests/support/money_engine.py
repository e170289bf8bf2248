"""A model server that streams and keeps books of its own: the oracle of what a gateway says was spent."""

import asyncio
import json
from pathlib import Path
from typing import Any, Final

from scripted_server import ModelServer, Received, chunk, stream_head

TEXTS: Final[dict[str, int]] = {
    one["text"]: one["tokens"]["llama3"]
    for one in json.loads((Path(__file__).parents[1] / "fixtures/token_counts.json").read_text())
    if one["kind"] in ("English question", "SQL", "tool definition", "Go")
}
"""Prompts, with the exact count of Llama 3's vocabulary."""
TEMPLATE_TOKENS: Final = 4
OUTPUT_TOKENS: Final = 200
INPUT_NANO, CACHED_NANO, OUTPUT_NANO = 1000, 100, 2000
PRICING: Final = {"inputPerMillion": "1", "cachedInputPerMillion": "0.1", "outputPerMillion": "2"}


class MoneyEngine:
    """Streams events and a usage; `user` says how.

    `cut` breaks off half way, `hang` waits there, `left` waits there for a client that has gone.
    """

    def __init__(self) -> None:
        self.server = ModelServer(self._answer)
        self.exact_nano = self.cut_nano = self.whole = self.cut = 0
        self.hanging = 0
        self.goes_on = asyncio.Event()
        """Streams that hang wait for it."""

    async def hangs(self, streams: int) -> None:
        """Wait until so many hang."""
        async with asyncio.timeout(30):
            while self.hanging < streams:
                await asyncio.sleep(0.01)

    async def _answer(self, request: Received, writer: asyncio.StreamWriter) -> None:
        body = json.loads(request.body)
        tokens = TEXTS[body["messages"][0]["content"]] + TEMPLATE_TOKENS
        how = body.get("user", "whole")
        said = OUTPUT_TOKENS if how == "whole" else OUTPUT_TOKENS // 2
        writer.write(stream_head())
        for _ in range(said):
            writer.write(chunk(_event({"choices": [{"index": 0, "delta": {"content": "a "}}]})))
        await writer.drain()
        if how in ("hang", "left"):
            self.hanging += 1
            await self.goes_on.wait()
        if how in ("cut", "left"):
            self.cut += 1
            self.cut_nano += tokens * INPUT_NANO + said * OUTPUT_NANO
            await asyncio.sleep(0.05)
            writer.transport.abort()
            return
        cached = tokens // 2
        usage = {
            "prompt_tokens": tokens,
            "completion_tokens": said,
            "prompt_tokens_details": {"cached_tokens": cached},
        }
        self.exact_nano += (tokens - cached) * INPUT_NANO + cached * CACHED_NANO + said * OUTPUT_NANO
        self.whole += 1
        writer.write(chunk(_event({"choices": [], "usage": usage})) + chunk(b"data: [DONE]\n\n") + chunk(b""))


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"
