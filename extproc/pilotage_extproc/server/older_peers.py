"""Whether pickers of the version before are about, who read other names on the wire to Envoy."""

from typing import Final

from pilotage_extproc.domain.clock import Clock

LINGER_SECONDS: Final = 30.0
"""An Envoy keeps the clusters of a picker that went until it has connected to another."""


class OlderPeers:
    """Remembers for a while that some were there."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._there = False
        self._until = clock()

    def see(self, there: bool) -> None:
        """Some are there now, or none is."""
        if self._there and not there:
            self._until = self._clock() + LINGER_SECONDS
        self._there = there

    def about(self) -> bool:
        """Whether picks are to carry what those read."""
        return self._there or self._clock() < self._until
