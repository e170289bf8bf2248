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

    __slots__ = ("_known", "_parts", "missing")

    def __init__(self, length: int | None = None) -> None:
        """With the length of a message whose prefix has come, and is not added."""
        self._parts: list[bytes | memoryview] = []
        """Without the prefix once the length is known."""
        self._known = length is not None
        self.missing = PREFIX_BYTES if length is None else length
        """Bytes of the message that have not come, or of its prefix while its length is not known."""

    def add(self, data: bytes, start: int, end: int) -> int | None:
        """Take bytes. The message's length when that becomes known, else None. Raises CallRefused."""
        size = end - start
        view = size >= _VIEWED_BYTES and len(data) <= 2 * size
        self._parts.append(memoryview(data)[start:end] if view else data[start:end])
        self.missing -= size
        if self._known or self.missing > 0:
            return None
        first = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        length = length_at(first, 0)
        self._parts = [first[PREFIX_BYTES:]]
        self._known = True
        self.missing += length
        return length

    def take(self) -> tuple[bytes, bytes]:
        """The message, of which nothing is missing, and the bytes after it."""
        parts, more = self._parts, -self.missing
        rest = b""
        if more:
            last = parts.pop()
            rest = bytes(last[len(last) - more :])
            parts.append(last[: len(last) - more])
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
