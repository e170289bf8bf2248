"""What a connection needs of the port it belongs to."""

from collections.abc import Mapping
from typing import Protocol

from pilotage_extproc.transport.contract import Call, Method, Receiver, Room
from pilotage_extproc.transport.limits import Limits


class Owner(Protocol):
    """The port a connection belongs to."""

    limits: Limits
    room: Room

    @property
    def methods(self) -> Mapping[str, Method]:
        """By path."""

    def receiver(self, method: Method, call: Call) -> Receiver:
        """Who serves a call of this method."""

    def admit_stream(self) -> bool:
        """Count a stream; False where there are too many."""

    def stream_ended(self) -> None:
        """Count it no more."""
