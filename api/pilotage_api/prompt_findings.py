"""Conditions that read features of prompts which nothing finds out, as the settings are."""

from collections.abc import Iterable
from typing import Final

from pilotage_api.findings import Find, ResourceKey, Severity
from pilotage_api.settings import PromptFeatureSettings
from pilotage_api.snapshot import PolicyRoute

_GAIN: Final = frozenset({"prompt.strongGain", "prompt.strongGainConfidence"})


def find_unfound_features(routes: Iterable[PolicyRoute], settings: PromptFeatureSettings, find: Find) -> None:
    """Warn of rules that read the gain where no weights for it are named: it is unknown to them."""
    by_remote = settings.remote is not None and "strongGain" in settings.remote.provides
    if settings.shipped_gain or settings.gain_file or settings.predictors or by_remote:
        return
    told = set()
    for route in routes:
        for index, rule in enumerate(route.rules):
            place = (route.policy, index)
            if place in told or not _GAIN & set(rule.reads):
                continue
            told.add(place)
            namespace, _, name = route.policy.partition("/")
            message = "prompt.strongGain is unknown: the settings name no weights for it"
            fix = "train weights of your own labels (pilotage eval train), and set promptFeatures.gainFile"
            key = ResourceKey("RoutePolicy", namespace, name)
            find(Severity.WARNING, "no-gain-weights", message, key, f"spec.rules[{index}].when", fix)
