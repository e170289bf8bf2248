"""Calls that wait for their caller to send the rest of a message."""

from collections.abc import Callable

from pilotage_extproc.transport.call import ServerCall


class Waiting:
    """Since when, the longest first."""

    __slots__ = ("_clock", "_since")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: dict[ServerCall, float] = {}

    def add(self, call: ServerCall) -> None:
        """It waits from now on."""
        self._since[call] = self._clock()

    def drop(self, call: ServerCall) -> None:
        """It does not wait."""
        self._since.pop(call, None)

    def before(self, then: float) -> list[ServerCall]:
        """Those that have waited since before then."""
        late = []
        for call, at in self._since.items():
            if at > then:
                break
            late.append(call)
        return late
