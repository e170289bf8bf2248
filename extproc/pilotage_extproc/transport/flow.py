"""Flow control: how much may still be sent, and how much the peer may."""

from pilotage_extproc.transport.frames import MOST_WINDOW


class SendWindow:
    """Bytes that may be sent. A change of the initial window can take it below zero."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, count: int) -> None:
        """Bytes are sent."""
        self.left -= count

    def grant(self, count: int) -> bool:
        """More may be sent; False where that is past what HTTP/2 allows."""
        self.left += count
        return self.left <= MOST_WINDOW


class ReceiveWindow:
    """Bytes the peer may send before it is granted more: `size`, less what came and is not used."""

    __slots__ = ("_left", "_size", "unused")

    def __init__(self, size: int) -> None:
        self._size = size
        self._left = size
        self.unused = 0
        """Bytes of whole messages that nobody has used."""

    @property
    def left(self) -> int:
        """What may still come."""
        return self._left

    def came(self, count: int) -> bool:
        """Bytes came; False where they were not granted."""
        self._left -= count
        return self._left >= 0

    def keep(self, count: int) -> None:
        """They are a message that nobody has used."""
        self.unused += count

    def need(self, count: int) -> int:
        """Let so many more bytes come: how many to grant for it."""
        more = count - self._left
        if more <= 0:
            return 0
        self._left = count
        return more

    def used(self, count: int) -> None:
        """A kept message was used."""
        self.unused -= count

    def refill(self) -> int:
        """How many bytes to grant so that the window is whole again; none until it is worth a frame."""
        lacking = self._size - self.unused - self._left
        if lacking < self._size // 2:
            return 0
        self._left += lacking
        return lacking
