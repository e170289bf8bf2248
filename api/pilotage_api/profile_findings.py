"""What is odd about how servers are chosen among: steps that do nothing, bounds that are always passed."""

import difflib
from typing import Final

from pilotage_api.findings import Find, ResourceKey, Severity
from pilotage_api.scheduling import Health, Saturation, Scheduling, seconds

LONG_EJECTION_SECONDS: Final = 3600.0
"""Longer first ejections are hardly meant: each further one is longer still."""


def find_in_profile(scheduling: Scheduling, key: ResourceKey, installed: frozenset[str], find: Find) -> None:
    """Steps that only a plug-in can provide (a typing error looks the same), and what has no effect.

    `installed` names the plug-ins there are where this runs.
    """
    for path, name, known in scheduling.unknown_types():
        if name in installed:
            message = f"{name!r} is a plug-in, installed here"
            fix = "see that it is installed wherever the picker runs"
            find(Severity.INFO, "plug-in", message, key, f"spec.scheduling.{path}", fix)
            continue
        message = f"{name!r} is not built in: without a plug-in of that name it is skipped"
        near = difflib.get_close_matches(name, known, n=1)
        fix = f"did you mean {near[0]!r}? Else" if near else "correct the name, or"
        fix += " install its plug-in where the picker runs"
        find(Severity.WARNING, "unknown-step", message, key, f"spec.scheduling.{path}", fix)
    for path, name in scheduling.unread_parameters():
        message, fix = f"has no effect: {name!r} is built in and takes no parameters", "remove it"
        find(Severity.WARNING, "no-effect", message, key, f"spec.scheduling.{path}", fix)
    if scheduling.scorers and not any(one.weight for one in scheduling.scorers):
        message, fix = (
            "no scorer weighs anything: endpoints are chosen by chance",
            "give one a weight above 0",
        )
        find(Severity.WARNING, "no-weight", message, key, "spec.scheduling.scorers", fix)


def find_in_override(scheduling: Scheduling, key: ResourceKey, find: Find) -> None:
    """A policy's profile that names no scorers: it replaces the pools' all the same."""
    if scheduling == Scheduling():
        message = "is empty, and so replaces the profile of the pools by the default one"
        fix = "remove it to keep theirs, or name the scorers"
        find(Severity.WARNING, "empty-profile", message, key, "spec.scheduling", fix)
    elif not scheduling.scorers:
        message = "the default scorers replace those of the pools"
        find(
            Severity.INFO,
            "default-scorers",
            message,
            key,
            "spec.scheduling",
            "name the scorers that are meant",
        )


def find_in_bounds(saturation: Saturation, health: Health, key: ResourceKey, find: Find) -> None:
    """A pool's bounds that are always passed, or hold for longer than anyone means."""
    share = saturation.kv_cache_utilization
    if share is not None and not float(share):
        message = "every server is full at all times"
        path, fix = "spec.saturation.kvCacheUtilization", "set it above 0, such as 0.9, or remove it"
        find(Severity.WARNING, "always-full", message, key, path, fix)
    first = seconds(health.ejection_time)
    if first > LONG_EJECTION_SECONDS:
        message = f"a server that fails is ejected for {first / 3600:.0f} hours, then up to ten times as long"
        path, fix = "spec.health.ejectionTime", "set an hour or less: servers that work again are found then"
        find(Severity.WARNING, "long-ejection", message, key, path, fix)
