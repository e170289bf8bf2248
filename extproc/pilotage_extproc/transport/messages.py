"""gRPC's framing: messages cut out of the bytes of a stream, over frames and several in one."""

from typing import Final

from pilotage_extproc.transport.contract import CallRefused, Status
from pilotage_extproc.transport.frames import MESSAGE_HEAD, PREFIX_BYTES

_VIEWED_BYTES: Final = 4096
"""Of a part from which on it is kept as a view into what was read with it, if that is mostly the part."""


class MessageCutter:
    """What of a message has come so far. Made when a message is not whole in its frame.

    Its bytes are copied once, when it is whole.
    """

    __slots__ = ("_have", "_need", "_parts")

    def __init__(self) -> None:
        self._parts: list[bytes | memoryview] = []
        """Without the prefix once the length is known."""
        self._have = 0
        self._need = 0

    @property
    def missing(self) -> int:
        """Bytes of the message that have not come; 0 while its length is not known."""
        return self._need - self._have if self._need else 0

    def add(self, data: bytes, start: int, end: int) -> int | None:
        """Take bytes. The message's length when that becomes known, else None. Raises CallRefused."""
        size = end - start
        view = size >= _VIEWED_BYTES and len(data) <= 2 * size
        self._parts.append(memoryview(data)[start:end] if view else data[start:end])
        self._have += size
        if self._need or self._have < PREFIX_BYTES:
            return None
        first = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        length = length_at(first, 0)
        self._parts = [first[PREFIX_BYTES:]]
        self._need = length + PREFIX_BYTES
        return length

    def whole(self) -> tuple[bytes, bytes] | None:
        """The message and the bytes after it, once it is all there; then this is empty again."""
        if not self._need or self._have < self._need:
            return None
        parts, more = self._parts, self._have - self._need
        rest = b""
        if more:
            last = parts.pop()
            rest = bytes(last[len(last) - more :])
            parts.append(last[: len(last) - more])
        self._parts, self._have, self._need = [], 0, 0
        return b"".join(parts), rest


def length_at(data: bytes | memoryview, at: int) -> int:
    """A message's length by its prefix. Raises CallRefused where it is compressed."""
    compressed, length = MESSAGE_HEAD.unpack_from(data, at)
    if compressed:
        check_flag(compressed)
    return int(length)


def check_flag(compressed: int) -> None:
    """Raises CallRefused where a message's prefix does not say that it is as it was made."""
    if compressed == 1:
        raise CallRefused(Status.UNIMPLEMENTED, "compressed messages are not accepted: send identity")
    if compressed:
        raise CallRefused(Status.INTERNAL, "a message has an unknown compression flag")
