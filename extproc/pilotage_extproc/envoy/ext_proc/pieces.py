"""A body that comes in pieces."""


class Pieces:
    """One buffer: a list of many short pieces would cost far more than the bytes that are counted for it."""

    __slots__ = ("_first", "_joined")

    def __init__(self) -> None:
        self._first = b""
        self._joined = bytearray()

    def add(self, piece: bytes) -> None:
        """The next one; the only one of a body is not copied."""
        if self._joined:
            self._joined += piece
        elif self._first:
            self._joined += self._first
            self._joined += piece
            self._first = b""
        else:
            self._first = piece

    def take(self) -> bytes:
        """The body; nothing is kept of it."""
        first, self._first = self._first, b""
        joined, self._joined = self._joined, bytearray()
        return bytes(joined) if joined else first
