"""Calls whose answer waits to be taken, and how long for."""

from collections.abc import Callable, Iterator

from pilotage_extproc.transport.call import ServerCall


class Blocked:
    """In the order of their last progress, so that all get on in turn.

    A call is late that has not got on for a time, unless others of its connection have, and the call's own
    window is open: what they share is then slow, which is no fault of the call.
    """

    __slots__ = ("_clock", "_moved_at", "_since")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: dict[ServerCall, float] = {}
        self._moved_at = clock()

    def __contains__(self, call: ServerCall) -> bool:
        return call in self._since

    def __iter__(self) -> Iterator[ServerCall]:
        """Those that wait now; they may be changed meanwhile."""
        return iter(list(self._since))

    def add(self, call: ServerCall, *, moved: bool) -> None:
        """It waits, or still does; from now on where it has got on since."""
        if moved:
            self._since.pop(call, None)
            self._moved_at = self._clock()
        if call not in self._since:
            self._since[call] = self._clock()

    def done(self, call: ServerCall) -> None:
        """What it had to send has left."""
        if self._since.pop(call, None) is not None:
            self._moved_at = self._clock()

    def drop(self, call: ServerCall) -> None:
        """It is over."""
        self._since.pop(call, None)

    def late(self, then: float) -> list[ServerCall]:
        """Those that have not got on since before then."""
        found = []
        for call, at in self._since.items():
            if at > then:
                break
            if call.window <= 0 or self._moved_at <= then:
                found.append(call)
        return found
