"""A body that comes in pieces."""

from typing import Final

_SHORT_BYTES: Final = 4096
"""Pieces below this are gathered in one buffer: a list of them would cost far more than their bytes."""


class Pieces:
    """Long pieces are kept as they came, so that the body is copied once, when it is taken."""

    __slots__ = ("_gathered", "_parts")

    def __init__(self) -> None:
        self._parts: list[bytes | bytearray] = []
        self._gathered = False
        """Whether the last part is a buffer that short pieces are added to."""

    def add(self, piece: bytes) -> None:
        """The next one; the only one of a body is not copied."""
        parts = self._parts
        if not piece:
            return
        if not parts or len(piece) >= _SHORT_BYTES:
            parts.append(piece)
            self._gathered = False
        elif self._gathered:
            parts[-1] += piece
        else:
            parts.append(bytearray(piece))
            self._gathered = True

    def take(self) -> bytes:
        """The body; nothing is kept of it."""
        parts, self._parts, self._gathered = self._parts, [], False
        if len(parts) == 1 and isinstance(parts[0], bytes):
            return parts[0]
        return b"".join(parts)
