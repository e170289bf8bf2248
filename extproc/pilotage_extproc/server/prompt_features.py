"""The stages that find out slow features, as the settings configure them."""

import logging
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, Final

from pilotage_api.settings import PromptFeatureSettings
from pilotage_extproc.domain.clock import Clock
from pilotage_extproc.features import exact_tokens
from pilotage_extproc.features.cache import FeatureCache
from pilotage_extproc.features.names import OF_TEXT
from pilotage_extproc.features.prompt_reader import PromptReader, TextPredictor
from pilotage_extproc.features.weights_files import load_weights
from pilotage_extproc.request.stage import Stage
from pilotage_extproc.rules.routing_index import CurrentIndex
from pilotage_extproc.sources.remote_classifier import RemoteClassifier
from pilotage_extproc.stages.count_tokens import CountTokens
from pilotage_extproc.stages.find_prompt_features import FindPromptFeatures

log = logging.getLogger(__name__)

ENTRY_POINT_GROUP: Final = "pilotage.predictors"
"""Each entry point is a factory without parameters that returns a `TextPredictor`."""


def remote_classifier(settings: PromptFeatureSettings, clock: Clock) -> RemoteClassifier | None:
    """The classifier that the settings name, to be closed in the end; nothing is opened yet."""
    return None if settings.remote is None else RemoteClassifier(settings.remote, clock)


def feature_stages(
    settings: PromptFeatureSettings,
    current: CurrentIndex,
    remote: RemoteClassifier | None = None,
    find: Callable[[str], Any] | None = None,
) -> tuple[Stage, ...]:
    """The stages; what cannot be had is logged and left out, and its features are unknown."""
    plugins = tuple(
        one for name in settings.predictors if (one := _plugin(name, find or _installed)) is not None
    )
    reader = PromptReader(
        lambda: load_weights(shipped_gain=settings.shipped_gain, gain_file=settings.gain_file), plugins
    )
    prompt = FindPromptFeatures(reader, FeatureCache(), current, remote=remote)
    count = _counter(settings.tokens)
    return (prompt,) if count is None else (CountTokens(count), prompt)


def _counter(vocabulary: str) -> Callable[[bytes], int] | None:
    if vocabulary == "estimate":
        return None
    if not exact_tokens.available():
        log.warning(exact_tokens.NOT_INSTALLED)
        return None
    return exact_tokens.counter(vocabulary)


def _installed(name: str) -> Any:
    [entry] = entry_points(group=ENTRY_POINT_GROUP, name=name)
    return entry.load()


def _plugin(name: str, find: Callable[[str], Any]) -> TextPredictor | None:
    """One predictor, made; None where it cannot be."""
    try:
        made: TextPredictor = find(name)()
        unknown = frozenset(made.provides) - OF_TEXT
    except Exception as error:  # noqa: BLE001 - not ours
        log.error("a predictor cannot be loaded", extra={"plugin": name, "error": repr(error)})
        return None
    if unknown:
        log.error(
            "a predictor provides unknown features", extra={"plugin": name, "features": sorted(unknown)}
        )
        return None
    return made
