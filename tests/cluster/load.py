"""Streamed requests under way all the time, each one's fate known."""

import asyncio
import contextlib
import itertools
import re
from collections import Counter
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp


@dataclass(slots=True)
class Fate:
    """What became of a request."""

    outcome: str
    """`answered`; `cut` after the answer began; `lost` before it did."""
    detail: str = ""
    endpoint: str = ""


class Load:
    """Sends requests from some clients, one after the other each; use as a context manager."""

    def __init__(self, url: str, *, clients: int = 6, model: str = "auto", tokens: int = 24) -> None:
        self._url = f"{url}/v1/chat/completions"
        self._clients = clients
        self._model = model
        self._tokens = tokens
        self._numbers = itertools.count()
        self._ending = False
        self._tasks: list[asyncio.Task[None]] = []
        self.fates: list[Fate] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._client()) for _ in range(self._clients)]
        await self.more(self._clients)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending = True
        await asyncio.gather(*self._tasks)

    async def more(self, count: int) -> None:
        """Until so many more requests have ended."""
        wanted = len(self.fates) + count
        async with asyncio.timeout(60):
            while len(self.fates) < wanted:
                await asyncio.sleep(0.05)

    def count(self, outcome: str) -> int:
        """Requests with this fate."""
        return sum(fate.outcome == outcome for fate in self.fates)

    def told(self) -> str:
        """All fates, for a test's message."""
        return str(Counter((fate.outcome, fate.detail) for fate in self.fates))

    async def _client(self) -> None:
        timeout = aiohttp.ClientTimeout(total=60)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while not self._ending:
                self.fates.append(await self._request(session))

    async def _request(self, session: aiohttp.ClientSession) -> Fate:
        content = f"Question {next(self._numbers)}: why is the sky blue?"
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": self._tokens,
            "stream": True,
        }
        received = b""
        endpoint = ""
        try:
            async with session.post(self._url, json=body) as answer:
                picked = answer.headers.get("x-pilotage-decision", "")
                endpoint = next(iter(re.findall(r"endpoint=([^;]+)", picked)), "")
                if answer.status != 200:
                    text = await answer.text()
                    return Fate("lost", f"{answer.status} {text[:200]}", endpoint)
                with contextlib.suppress(aiohttp.ClientPayloadError, aiohttp.ClientConnectionError):
                    async for chunk in answer.content.iter_any():
                        received += chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Fate("cut" if received else "lost", f"{type(error).__name__}: {error}", endpoint)
        if received.rstrip().endswith(b"data: [DONE]"):
            return Fate("answered", "", endpoint)
        return Fate("cut" if received else "lost", "the stream ended early", endpoint)
