"""Filters, scorers and pickers of third parties: found by entry point, never trusted with a request.

A plug-in that raises is skipped for that decision. One that takes longer than its budget has already
cost that decision the time (nothing in the request path can be interrupted), so one that does it again
is switched off for a while. Both are recorded in the decision and counted.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, Generic, TypeVar

from pilotage_extproc.domain.clock import Clock

log = logging.getLogger(__name__)

ENTRY_POINT_GROUP: Final = "pilotage.scheduling"
"""Each entry point is a factory: it takes the parameters (text by name) and returns the step."""
BUDGET_SECONDS: Final = 0.002
"""Longest a plug-in may compute for one decision: time of the processor, not of the clock."""
WALL_SECONDS: Final = 0.02
"""Longest one may take by the clock: it may wait for a busy processor, but not sleep."""
STRIKES: Final = 2
"""So many overruns switch it off, so that one pause of the process does not."""
FORGIVEN_AFTER: Final = 100
"""Calls within the budget, one after the other, after which overruns before them no longer count."""
DISABLED_SECONDS: Final = 60.0
"""How long one that is too slow is switched off."""
FAILURE_LOG_SECONDS: Final = 60.0
"""Between two log lines of one plug-in that raises again and again."""
LOADING_SECONDS: Final = 1.0
"""Longest that importing and making a plug-in may hold the event loop up."""

Result = TypeVar("Result")


class PluginSkipped(Exception):
    """A plug-in does not count for this decision; the text says why."""


@dataclass(slots=True)
class Guard:
    """Runs one plug-in with one set of parameters."""

    name: str
    clock: Clock
    on_trouble: Callable[[str, str], None]
    """Told the plug-in's name, and `raised` or `slow`."""
    disabled_until: float = 0.0
    strikes: int = 0
    forgiving: int = 0
    """Calls within the budget since the last overrun."""
    told_at: float = -math.inf
    """When a failure was last logged."""
    untold: int = 0
    """Failures since then."""
    processor_time: Callable[[], float] = time.thread_time
    wall_time: Callable[[], float] = time.perf_counter

    def run(self, step: Callable[..., Result], *arguments: Any) -> Result:
        """The step's result. Raises PluginSkipped."""
        now = self.clock()
        if now < self.disabled_until:
            raise PluginSkipped(f"switched off for {self.disabled_until - now:.0f} s more: it was too slow")
        computing, began = self.processor_time(), self.wall_time()
        try:
            return step(*arguments)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - called, not awaited: nothing here is the loop's own
            self._tell(now, error)
            self.on_trouble(self.name, "raised")
            raise PluginSkipped(f"raised {type(error).__name__}") from None
        finally:
            self._took(now, self.processor_time() - computing, self.wall_time() - began)

    def _tell(self, now: float, error: BaseException) -> None:
        """Log the first failure and then one a minute: a step that raises does so at each request."""
        if now - self.told_at < FAILURE_LOG_SECONDS:
            self.untold += 1
            return
        log.error(
            "a plug-in failed and was skipped",
            extra={"plugin": self.name, "failures_not_logged": self.untold},
            exc_info=error,
        )
        self.told_at, self.untold = now, 0

    def _took(self, now: float, computed: float, took: float) -> None:
        if computed <= BUDGET_SECONDS and took <= WALL_SECONDS:
            if self.strikes:
                self.forgiving += 1
                if self.forgiving >= FORGIVEN_AFTER:
                    self.strikes = 0
            return
        self.on_trouble(self.name, "slow")
        self.forgiving = 0
        self.strikes += 1
        if self.strikes >= STRIKES:
            self.strikes = STRIKES - 1  # once it is back, the first overrun is enough
            self.disabled_until = now + DISABLED_SECONDS
            log.warning(
                "a plug-in is switched off: it was too slow",
                extra={
                    "plugin": self.name,
                    "computed_seconds": computed,
                    "took_seconds": took,
                    "disabled_seconds": DISABLED_SECONDS,
                },
            )


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


class Making(Generic[Result]):
    """One step being made, in a thread of its own: a plug-in's import may take long, or never end."""

    def __init__(self, make: Callable[[], Result]) -> None:
        self._make = make
        self._made: Result | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="make a plug-in", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._made = self._make()
        except BaseException as error:  # noqa: BLE001 - `sys.exit()` in a plug-in ends nothing
            self._error = error

    @property
    def done(self) -> bool:
        """Whether the step is made, or could not be."""
        return not self._thread.is_alive()

    def wait(self, timeout_seconds: float) -> bool:
        """Wait for that. Returns `done`."""
        self._thread.join(timeout_seconds)
        return self.done

    def result(self) -> Result:
        """The step, once done. Raises what making it raised."""
        if self._error is not None:
            raise self._error
        assert self._made is not None
        return self._made
