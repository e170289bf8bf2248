"""A classifier over HTTP: asked in batches, waited for no longer than its time, left alone while it fails."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from pilotage_api import settings
from pilotage_extproc.domain.clock import Clock
from pilotage_extproc.sources.json_service import JsonService, ServiceError

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
        self._service = JsonService(
            "remote classifier",
            configured.url,
            configured.timeout_seconds,
            clock,
            most_answer_bytes=_MOST_ANSWER_BYTES,
        )
        self._names = tuple(name for one in configured.provides for name in _WITH[one])
        self.provides = frozenset(f"prompt.{name}" for name in self._names)
        self._waiting: list[_Waiting] = []
        self._calling: asyncio.Task[None] | None = None

    async def classify(self, text: bytes) -> Mapping[str, object]:
        """Features of a text (`prompt.domain`, …); nothing where it is not told in time. Never raises."""
        if self._service.is_left_alone or len(self._waiting) >= self._settings.max_waiting:
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
        await self._service.close()

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
            return await self._service.post(body, lambda answer: self._read(answer, len(texts)))
        except ServiceError:
            return [{}] * len(texts)

    def _read(self, answer: Any, count: int) -> list[Mapping[str, object]]:
        """One mapping a text. Raises ValueError."""
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
