"""What waits for the peer's window."""

from collections import deque


class Outbox:
    """Bytes of messages in order, taken in pieces."""

    __slots__ = ("_at", "_waiting", "size")

    def __init__(self) -> None:
        self._waiting: deque[memoryview] = deque()
        self._at = 0
        self.size = 0

    def put(self, data: bytes) -> None:
        """Queue."""
        if data:
            self._waiting.append(memoryview(data))
            self.size += len(data)

    def take(self, most: int) -> memoryview:
        """The next bytes, at most so many, of one message; `size` says whether there are any."""
        first = self._waiting[0]
        piece = first[self._at : self._at + most]
        self._at += len(piece)
        self.size -= len(piece)
        if self._at == len(first):
            self._waiting.popleft()
            self._at = 0
        return piece
