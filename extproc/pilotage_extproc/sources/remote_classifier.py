"""A classifier over HTTP: asked in batches, waited for no longer than its time, left alone while it fails."""

import asyncio
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import orjson

from pilotage_api import settings
from pilotage_extproc.domain.clock import Clock

log = logging.getLogger(__name__)

FAILURES_TO_OPEN: Final = 5
"""In a row; then nothing is asked for a while."""
OPEN_SECONDS: Final = 10.0
"""Afterwards one call tries again."""
_MOST_ANSWER_BYTES: Final = 256 * 1024
_NUMBERS: Final = {
    "domainConfidence": (0.0, 1.0),
    "strongGain": (-1.0, 1.0),
    "strongGainConfidence": (0.0, 1.0),
}
_WITH: Final = {
    "domain": ("domain", "domainConfidence"),
    "strongGain": ("strongGain", "strongGainConfidence"),
    "language": ("language",),
}
_LONGEST_WORD: Final = 64


@dataclass(slots=True, frozen=True)
class _Waiting:
    text: bytes
    answer: asyncio.Future[Mapping[str, object]]


class RemoteClassifier:
    """One classifier. Texts that come while a call is under way wait for the next, together."""

    def __init__(self, configured: settings.RemoteClassifier, clock: Clock) -> None:
        self._settings = configured
        self._clock = clock
        self._names = tuple(name for one in configured.provides for name in _WITH[one])
        self.provides = frozenset(f"prompt.{name}" for name in self._names)
        self._waiting: list[_Waiting] = []
        self._calling: asyncio.Task[None] | None = None
        self._session: aiohttp.ClientSession | None = None
        self._failures = 0
        self._open_until = -math.inf

    async def classify(self, text: bytes) -> Mapping[str, object]:
        """Features of a text (`prompt.domain`, …); nothing where it is not told in time. Never raises."""
        if self._clock() < self._open_until or len(self._waiting) >= self._settings.max_waiting:
            return {}
        one = _Waiting(text, asyncio.get_running_loop().create_future())
        self._waiting.append(one)
        if self._calling is None or self._calling.done():
            self._calling = asyncio.create_task(self._call_all(), name="remote classifier")
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                return await one.answer
        except TimeoutError:
            return {}
        finally:
            if one in self._waiting:
                self._waiting.remove(one)

    async def close(self) -> None:
        """End what is under way."""
        if self._calling is not None:
            self._calling.cancel()
        if self._session is not None:
            await self._session.close()

    async def _call_all(self) -> None:
        while self._waiting:
            batch = self._waiting[: self._settings.max_batch]
            del self._waiting[: len(batch)]
            answers = await self._call([one.text for one in batch])
            for one, answer in zip(batch, answers, strict=True):
                if not one.answer.done():
                    one.answer.set_result(answer)

    async def _call(self, texts: list[bytes]) -> list[Mapping[str, object]]:
        body = orjson.dumps({"texts": [text.decode("utf-8", "replace") for text in texts]})
        try:
            if self._session is None:
                limit = aiohttp.ClientTimeout(total=self._settings.timeout_seconds)
                self._session = aiohttp.ClientSession(timeout=limit)
            headers = {"content-type": "application/json"}
            async with self._session.post(self._settings.url, data=body, headers=headers) as response:
                if response.status != 200:
                    raise ValueError(f"status {response.status}")
                read = await response.content.read(_MOST_ANSWER_BYTES + 1)
                while not response.content.at_eof() and len(read) <= _MOST_ANSWER_BYTES:
                    read += await response.content.read(_MOST_ANSWER_BYTES + 1 - len(read))
            answers = self._read(read, len(texts))
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self._failed(error)
            return [{}] * len(texts)
        self._failures = 0
        return answers

    def _read(self, body: bytes, count: int) -> list[Mapping[str, object]]:
        """One mapping a text. Raises ValueError."""
        if len(body) > _MOST_ANSWER_BYTES:
            raise ValueError("the answer is too long")
        answer = orjson.loads(body)
        results = answer.get("results") if isinstance(answer, dict) else None
        if not isinstance(results, list) or len(results) != count:
            raise ValueError("`results` has not one item for each text")
        return [self._features(one) for one in results]

    def _features(self, result: Any) -> Mapping[str, object]:
        if not isinstance(result, dict):
            raise ValueError("a result is no object")
        found: dict[str, object] = {}
        for name in self._names:
            value = result.get(name)
            if value is not None:
                found[f"prompt.{name}"] = _checked(name, value)
        return found

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        if self._failures >= FAILURES_TO_OPEN:
            self._failures = FAILURES_TO_OPEN - 1  # one more failure opens it again
            self._open_until = self._clock() + OPEN_SECONDS
            log.warning(
                "a remote classifier is left alone: it failed again and again",
                extra={"error": str(error) or type(error).__name__, "seconds": OPEN_SECONDS},
            )


def _checked(name: str, value: Any) -> object:
    """A value of a feature. Raises ValueError."""
    bounds = _NUMBERS.get(name)
    if bounds is None:
        if not isinstance(value, str) or len(value) > _LONGEST_WORD:
            raise ValueError(f"`{name}` is no short text")
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not bounds[0] <= value <= bounds[1]:
        raise ValueError(f"`{name}` is no number from {bounds[0]:g} to {bounds[1]:g}")
    return float(value)
