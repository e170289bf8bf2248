"""The connection, as its calls use it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pilotage_extproc.transport.call import ServerCall


class Wire(Protocol):
    """Takes what calls send, and watches what they wait for."""

    window: int
    """Bytes that may be sent on all its streams together."""
    peer_names: frozenset[str]
    """DNS names in the caller's verified certificate."""

    @property
    def taking(self) -> bool:
        """Whether more should be made for the peer now."""

    def emit(self, data: bytes) -> None:
        """Send with what else is sent soon."""

    def send(self, pieces: Sequence[bytes | memoryview], size: int) -> bool:
        """Send frames with so many bytes of data; False, and nothing, where the peer takes less now."""

    def grant(self, call: "ServerCall", count: int) -> None:
        """Let the caller send more."""

    def wait_to_send(self, call: "ServerCall", *, moved: bool) -> None:
        """Call `pump` when more may be sent; `moved` where a part worth waiting for has been."""

    def all_sent(self, call: "ServerCall") -> None:
        """It has nothing left to send, for now."""

    def gave_up(self, call: "ServerCall") -> None:
        """It will not send what waited."""

    def wait_for_message(self, call: "ServerCall") -> None:
        """End the call where its message takes too long."""

    def message_came(self, call: "ServerCall") -> None:
        """It did not."""

    def closed(self, call: "ServerCall", *, answered: bool, more_may_come: bool) -> None:
        """The call is over; its caller may not know that yet."""
