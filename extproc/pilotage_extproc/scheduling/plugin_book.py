"""Makes the steps of plug-ins for profiles. Whatever a plug-in does meanwhile, the profile is made."""

import logging
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import EntryPoint
from typing import Any, TypeVar

from pilotage_api.snapshot import StepSnapshot
from pilotage_extproc.domain.clock import Clock
from pilotage_extproc.scheduling.plugin_steps import NotAStep
from pilotage_extproc.scheduling.plugins import LOADING_SECONDS, Guard, Making, load_factory

log = logging.getLogger(__name__)

Step = TypeVar("Step")
_Key = tuple[str, frozenset[tuple[str, str]]]


class PluginBook:
    """The installed plug-ins, a guard for each type and parameters, and the steps still being made."""

    def __init__(
        self, plugins: Mapping[str, EntryPoint], clock: Clock, on_trouble: Callable[[str, str], None]
    ) -> None:
        self._plugins = plugins
        self._clock = clock
        self._on_trouble = on_trouble
        self._guards: dict[_Key, Guard] = {}
        self._making: dict[str, dict[tuple[str, str], Making[Any]]] = {}

    def has_news(self, profile: str) -> bool:
        """Whether a step that was too slow to be made for this profile is there by now."""
        return profile in self._making and any(one.done for one in self._making[profile].values())

    def step(
        self, profile: str, step: StepSnapshot, of: Callable[[Any, Guard], Step], missing: list[str]
    ) -> Step | None:
        """A step as `of` wraps what the factory returns. None where it cannot be had: `missing` gets why."""
        entry = self._plugins.get(step.type)
        if entry is None:
            missing.append(f"{step.type}: no plug-in of that name is installed")
            return None
        pending = self._making.setdefault(profile, {})
        key = (step.type, of.__qualname__)
        known = pending.get(key)
        guard = self._guards.setdefault(_key(step), Guard(step.type, self._clock, self._on_trouble))
        making = known or Making(lambda: of(load_factory(entry)(dict(step.parameters)), guard))
        if not making.wait(LOADING_SECONDS if known is None else 0.0):
            if known is None:
                pending[key] = making
                log.error(
                    "a plug-in takes long to start: it is used once it has started",
                    extra={"plugin": step.type},
                )
                self._on_trouble(step.type, "slow")
            missing.append(f"{step.type}: is still starting")
            return None
        made: Step | None = None
        try:
            made = making.result()
        except NotAStep as error:
            log.error(
                "a plug-in does not implement the contract of its step",
                extra={"plugin": step.type, "why": str(error)},
            )
            missing.append(f"{step.type}: {error}")
        except BaseException as error:
            log.error(
                "a plug-in cannot be loaded and is skipped", extra={"plugin": step.type}, exc_info=error
            )
            missing.append(f"{step.type}: cannot be loaded ({type(error).__name__})")
        pending.pop(key, None)
        if not pending:
            del self._making[profile]
        return made

    def keep_only(self, profiles: set[str], steps: Iterable[StepSnapshot]) -> None:
        """Forget what nothing uses any more."""
        self._making = {key: found for key, found in self._making.items() if key in profiles}
        used = {_key(step) for step in steps}
        self._guards = {key: guard for key, guard in self._guards.items() if key in used}


def _key(step: StepSnapshot) -> _Key:
    return step.type, frozenset(step.parameters.items())
