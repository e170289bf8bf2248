"""What users wrote in a prompt, read for rules: topic, expected gain, language, code, keywords."""

import asyncio
from collections.abc import Awaitable
from typing import ClassVar, Final, Protocol, Self

from pilotage_extproc.dialects.user_text import user_text
from pilotage_extproc.features.cache import FeatureCache
from pilotage_extproc.features.names import ALL, KEYWORDS, OF_TEXT
from pilotage_extproc.features.prompt_reader import Features, PromptReader
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.stage import OnError, Step
from pilotage_extproc.rules.routing_index import CurrentIndex

LARGE_BYTES: Final = 8 * 1024
"""Of a body: above it the text is read in a thread."""


class Classifier(Protocol):
    """A classifier that is asked over a network."""

    provides: frozenset[str]

    async def classify(self, text: bytes) -> Features:
        """Features of a text; nothing where it cannot be had in time. Never raises."""


def tenant_of(exchange: Exchange) -> bytes:
    """Whose entries of the cache a request may use: all share one where nobody is told apart."""
    return exchange.identity.tenant.encode("utf-8", "surrogatepass")


class FindPromptFeatures(Step):
    """Reads the features that a plan asks for, each text once. What it cannot find out stays unknown."""

    name: ClassVar[str] = "prompt"
    provides = ALL
    on_error: ClassVar[OnError] = OnError.SKIP

    def __init__(
        self,
        reader: PromptReader,
        cache: FeatureCache,
        current: CurrentIndex,
        *,
        remote: Classifier | None = None,
    ) -> None:
        self._reader = reader
        self._cache = cache
        self._current = current
        self._remote = remote
        self._wanted: frozenset[str] = frozenset()
        self._of_text: frozenset[str] = frozenset()
        self._of_remote: frozenset[str] = frozenset()
        self._keywords = False
        self._missing: tuple[str, ...] = ()
        self._made: dict[frozenset[str], Self] = {}

    def narrowed(self, wanted: frozenset[str]) -> Self:
        """A stage that finds out these features alone, the same each time; what they take is loaded now."""
        wanted &= ALL
        known = self._made.get(wanted)
        if known is not None:
            return known
        made = self._made[wanted] = type(self)(
            self._reader,
            self._cache,
            self._current,
            remote=self._remote,
        )
        made._ask_for(wanted)
        return made

    def kept_here(self) -> Self:
        """The same without the classifier: what it alone finds out stays unknown."""
        made = type(self)(self._reader, self._cache, self._current)
        made._ask_for(self._wanted)
        return made

    def _ask_for(self, wanted: frozenset[str]) -> None:
        self._wanted = wanted
        remote = frozenset() if self._remote is None else self._remote.provides
        self._of_remote = wanted & remote
        self._of_text = (wanted & OF_TEXT) - remote
        self._keywords = KEYWORDS in wanted
        self._missing = self._reader.missing(self._of_text)
        self._reader.prepare(self._of_text)

    def apply(self, exchange: Exchange) -> Awaitable[None] | None:
        """Read what users wrote; waits where that is much, or a classifier is asked."""
        for one in self._missing:
            step, _, why = one.partition(": ")
            exchange.skip(step, why)
        text = user_text(exchange.call.kind, exchange.document.members).text
        if self._keywords:
            exchange.learned(KEYWORDS, self._current.index.keywords.found_in(text))
        if not self._of_text and not self._of_remote:
            return None
        digest = self._cache.digest(tenant_of(exchange), self._of_text | self._of_remote, text)
        known = self._cache.get(digest)
        if known is not None:
            _learn(exchange, known)
            return None
        if self._of_remote or len(exchange.body) > LARGE_BYTES:
            return self._find(exchange, text, digest)
        features = self._reader.read(text, self._of_text)
        self._cache.put(digest, features)
        _learn(exchange, features)
        return None

    async def _find(self, exchange: Exchange, text: bytes, digest: bytes) -> None:
        if len(exchange.body) > LARGE_BYTES:
            features = dict(await asyncio.to_thread(self._reader.read, text, self._of_text))
        else:
            features = dict(self._reader.read(text, self._of_text))
        whole = True
        if self._of_remote and self._remote is not None:
            said = await self._remote.classify(text)
            features.update({name: said[name] for name in self._of_remote if name in said})
            if not said:
                exchange.skip("remote", "the classifier did not answer")
            whole = bool(said)
        if whole:
            self._cache.put(digest, features)
        _learn(exchange, features)


def _learn(exchange: Exchange, features: Features) -> None:
    for name, value in features.items():
        exchange.learned(name, value)
