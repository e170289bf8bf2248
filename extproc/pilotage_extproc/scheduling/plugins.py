"""Filters, scorers and pickers of third parties: found by entry point, never trusted with a request.

A plug-in that raises is skipped for that decision. One that takes longer than its budget has already
cost that decision the time (nothing in the request path can be interrupted), so it is switched off
for a while from then on. Both are recorded in the decision and counted.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from pilotage_extproc.domain.clock import Clock

log = logging.getLogger(__name__)

ENTRY_POINT_GROUP = "pilotage.scheduling"
"""Each entry point is a factory: it takes the parameters (text by name) and returns the step."""
BUDGET_SECONDS = 0.002
"""Longest a plug-in may take for one decision."""
DISABLED_SECONDS = 60.0
"""How long one that took longer is switched off."""

Result = TypeVar("Result")


class PluginSkipped(Exception):
    """A plug-in does not count for this decision; the text says why."""


@dataclass(slots=True)
class Guard:
    """Runs one plug-in."""

    name: str
    clock: Clock
    on_trouble: Callable[[str, str], None]
    """Told the plug-in's name, and `raised` or `slow`."""
    disabled_until: float = 0.0
    timer: Callable[[], float] = time.perf_counter

    def run(self, step: Callable[..., Result], *arguments: Any) -> Result:
        """The step's result. Raises PluginSkipped."""
        now = self.clock()
        if now < self.disabled_until:
            raise PluginSkipped(f"switched off for {self.disabled_until - now:.0f} s more: it was too slow")
        began = self.timer()
        try:
            result = step(*arguments)
        except Exception as error:
            log.exception("a plug-in failed and was skipped", extra={"plugin": self.name})
            self.on_trouble(self.name, "raised")
            raise PluginSkipped(f"raised {type(error).__name__}") from error
        took = self.timer() - began
        if took > BUDGET_SECONDS:
            self.disabled_until = now + DISABLED_SECONDS
            self.on_trouble(self.name, "slow")
            log.warning(
                "a plug-in is switched off: it was too slow",
                extra={"plugin": self.name, "took_seconds": took, "disabled_seconds": DISABLED_SECONDS},
            )
        return result


Factory = Callable[[Mapping[str, str]], Any]


def installed_plugins() -> dict[str, EntryPoint]:
    """Entry points by name; nothing is imported yet."""
    return {one.name: one for one in entry_points(group=ENTRY_POINT_GROUP)}


def load_factory(entry: EntryPoint) -> Factory:
    """Import a plug-in's factory. Raises whatever its import raises."""
    factory = entry.load()
    if not callable(factory):
        raise TypeError(f"the entry point {entry.name} = {entry.value} is not callable")
    made: Factory = factory
    return made
