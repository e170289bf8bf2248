"""What a connection needs of the port it belongs to."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from pilotage_extproc.transport.contract import Call, Receiver, Room
from pilotage_extproc.transport.limits import Limits


class Served(NamedTuple):
    """A method on a port."""

    room: Room
    """Bounds its messages."""
    receiver: Callable[[Call], Receiver]
    """Who serves a call of it."""


class Owner(Protocol):
    """The port a connection belongs to."""

    limits: Limits

    @property
    def methods(self) -> Mapping[str, Served]:
        """By path."""

    def admit_stream(self) -> bool:
        """Count a stream; False where there are too many."""

    def stream_ended(self) -> None:
        """Count it no more."""
