"""gRPC's framing: messages cut out of the bytes of a stream, over frames and several in one."""

from pilotage_extproc.transport.contract import CallRefused, Status
from pilotage_extproc.transport.frames import MESSAGE_HEAD, PREFIX_BYTES


class MessageCutter:
    """What of a message has come so far. Made when a message is not whole in its frame."""

    __slots__ = ("_have", "_need", "_parts")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._have = 0
        self._need = 0

    @property
    def missing(self) -> int:
        """Bytes of the message that have not come; 0 while its length is not known."""
        return self._need - self._have if self._need else 0

    def add(self, piece: bytes) -> int | None:
        """Take bytes. The message's length when that becomes known, else None. Raises CallRefused."""
        self._parts.append(piece)
        self._have += len(piece)
        if self._need or self._have < PREFIX_BYTES:
            return None
        if len(self._parts[0]) < PREFIX_BYTES:
            self._parts = [b"".join(self._parts)]
        length = length_at(self._parts[0], 0)
        self._need = length + PREFIX_BYTES
        return length

    def whole(self) -> tuple[bytes, bytes] | None:
        """The message and the bytes after it, once it is all there; then this is empty again."""
        if not self._need or self._have < self._need:
            return None
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        found = data[PREFIX_BYTES : self._need], data[self._need :]
        self._parts, self._have, self._need = [], 0, 0
        return found


def length_at(data: bytes, at: int) -> int:
    """A message's length by its prefix. Raises CallRefused where it is compressed."""
    compressed, length = MESSAGE_HEAD.unpack_from(data, at)
    if compressed:
        if compressed == 1:
            raise CallRefused(Status.UNIMPLEMENTED, "compressed messages are not accepted: send identity")
        raise CallRefused(Status.INTERNAL, "a message has an unknown compression flag")
    return int(length)
