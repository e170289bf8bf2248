"""Calls that wait for their caller to send the rest of a message."""

from collections.abc import Callable

from pilotage_extproc.transport.call import ServerCall


class Waiting:
    """Since when, the longest first."""

    __slots__ = ("_clock", "_since", "fresh")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: dict[ServerCall, float] = {}
        self.fresh: dict[ServerCall, None] = {}
        """That wait since this read: for most the rest comes in it too."""

    def add(self, call: ServerCall) -> None:
        """It waits, unless it is dropped in the same read."""
        self.fresh[call] = None

    def drop(self, call: ServerCall) -> None:
        """It does not wait."""
        if call in self.fresh:
            del self.fresh[call]
        else:
            self._since.pop(call, None)

    def begin(self) -> None:
        """The read is over: those that wait, wait from now on."""
        now = self._clock()
        self._since.update(dict.fromkeys(self.fresh, now))
        self.fresh.clear()

    def before(self, then: float) -> list[ServerCall]:
        """Those that have waited since before then."""
        late = []
        for call, at in self._since.items():
            if at > then:
                break
            late.append(call)
        return late
