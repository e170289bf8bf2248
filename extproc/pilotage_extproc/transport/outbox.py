"""What waits for the peer's window."""

from collections import deque

from pilotage_extproc.transport.frames import DATA, FRAME_HEAD


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

    def frame(self, stream: int, most: int) -> tuple[list[bytes | memoryview], int]:
        """The next bytes, at most so many, as a DATA frame in pieces; and how many they are."""
        size = min(most, self.size)
        pieces: list[bytes | memoryview] = [FRAME_HEAD.pack(size >> 8, size & 255, DATA, 0, stream)]
        left = size
        while left:
            piece = self._take(left)
            left -= len(piece)
            pieces.append(piece)
        return pieces, size

    def _take(self, most: int) -> memoryview:
        """At most so many of one message; there are some."""
        first = self._waiting[0]
        piece = first[self._at : self._at + most]
        self._at += len(piece)
        self.size -= len(piece)
        if self._at == len(first):
            self._waiting.popleft()
            self._at = 0
        return piece
