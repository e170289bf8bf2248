"""Reads the features of one text: those that are wanted, and no others."""

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from pilotage_extproc.features import language
from pilotage_extproc.features.code_share import code_share
from pilotage_extproc.features.names import (
    CODE,
    DOMAIN,
    DOMAIN_CONFIDENCE,
    GAIN_CONFIDENCE,
    LANGUAGE,
    STRONG_GAIN,
)
from pilotage_extproc.features.ngrams import buckets_of
from pilotage_extproc.features.weights_files import Weights

log = logging.getLogger(__name__)

Features = Mapping[str, object]
"""By name. What is not there is unknown."""


class TextPredictor(Protocol):
    """A predictor that is installed as a plug-in (entry point group `pilotage.predictors`)."""

    provides: frozenset[str]
    """Names of `names.OF_TEXT` that it finds out, instead of what ships."""

    def read(self, text: bytes) -> Features:
        """What it finds out of at most 4 KiB of UTF-8. Pure; may run in a thread. May raise."""


class PromptReader:
    """Reads texts by some weights, and by plug-ins. Weights are loaded when first asked for."""

    def __init__(self, weights: Callable[[], Weights], plugins: tuple[TextPredictor, ...] = ()) -> None:
        self._load = weights
        self._weights: Weights | None = None
        self._plugins = plugins
        self._by_plugins = frozenset().union(*(one.provides for one in plugins))

    @property
    def weights(self) -> Weights:
        """What is predicted by."""
        if self._weights is None:
            self._weights = self._load()
        return self._weights

    def prepare(self, wanted: frozenset[str]) -> None:
        """Load what reading these features takes: off the request path."""
        own = wanted - self._by_plugins
        if own & {DOMAIN, DOMAIN_CONFIDENCE, STRONG_GAIN, GAIN_CONFIDENCE}:
            self.read(b"warm", own & {DOMAIN, STRONG_GAIN})
        if LANGUAGE in own and language.available():
            language.language_of(b"warm")

    def missing(self, wanted: frozenset[str]) -> tuple[str, ...]:
        """`feature: why` of wanted ones that cannot be had."""
        own, found = wanted - self._by_plugins, []
        if own & {DOMAIN, DOMAIN_CONFIDENCE} and self.weights.domain is None:
            found.append(f"{DOMAIN}: {self.weights.no_domain}")
        if own & {STRONG_GAIN, GAIN_CONFIDENCE} and self.weights.gain is None:
            found.append(f"{STRONG_GAIN}: {self.weights.no_gain}")
        if LANGUAGE in own and not language.available():
            found.append(f"{LANGUAGE}: {language.NOT_AVAILABLE}")
        return tuple(found)

    def read(self, text: bytes, wanted: frozenset[str]) -> Features:
        """The wanted features of a text of at most 4 KiB."""
        found: dict[str, object] = {}
        own = wanted - self._by_plugins
        wants_domain = bool(own & {DOMAIN, DOMAIN_CONFIDENCE})
        wants_gain = bool(own & {STRONG_GAIN, GAIN_CONFIDENCE})
        if wants_domain or wants_gain:
            self._predict(text, found, domain=wants_domain, gain=wants_gain)
        if LANGUAGE in own and language.available():
            found[LANGUAGE] = language.language_of(text)
        if CODE in own:
            found[CODE] = code_share(text)
        for plugin in self._plugins:
            if plugin.provides & wanted:
                found.update(_of_plugin(plugin, text, wanted))
        return found

    def _predict(self, text: bytes, found: dict[str, object], *, domain: bool, gain: bool) -> None:
        of_domain = self.weights.domain if domain else None
        of_gain = self.weights.gain if gain else None
        buckets = None if of_domain is None and of_gain is None else buckets_of(text)
        said = None
        if of_domain is not None and buckets is not None:
            said = of_domain.predict(buckets)
            found[DOMAIN], found[DOMAIN_CONFIDENCE] = said.domain, said.domain_confidence
        if of_gain is not None and buckets is not None:
            said = said if said is not None and of_gain is of_domain else of_gain.predict(buckets)
            found[STRONG_GAIN], found[GAIN_CONFIDENCE] = said.gain, said.gain_confidence


def _of_plugin(plugin: TextPredictor, text: bytes, wanted: frozenset[str]) -> Features:
    """What it finds out; nothing where it fails, so its features are unknown."""
    try:
        read = plugin.read(text)
        return {name: read[name] for name in plugin.provides & wanted if name in read}
    except Exception as error:  # noqa: BLE001 - not ours
        log.warning(
            "a predictor failed and was skipped",
            extra={"plugin": type(plugin).__name__, "error": type(error).__name__},
        )
        return {}
