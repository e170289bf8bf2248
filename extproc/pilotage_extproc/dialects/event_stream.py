"""Server-sent events out of a body that the network cuts anywhere."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

MOST_EVENT_BYTES: Final = 4 << 20
"""A longer event is not read; the last one of a response holds all of its text again."""
_END: Final = re.compile(rb"\r?\n\r?\n")
_DATA: Final = re.compile(rb"(?:\A|\n)data:[ ]?")
_LONGEST_END: Final = 4


class EventTooLongError(Exception):
    """An event has more bytes than are held."""


class Event(NamedTuple):
    """One event: `before`, its data, and `after`, which together are its bytes."""

    before: bytes
    data: bytes
    """Empty where it has none, or several lines of it."""
    after: bytes

    @property
    def raw(self) -> bytes:
        """As it came."""
        return self.before + self.data + self.after

    def with_data(self, data: bytes) -> bytes:
        """The event as it came, with other data."""
        return self.before + data + self.after


class EventSplitter:
    """Puts events together again."""

    def __init__(self, most_bytes: int = MOST_EVENT_BYTES) -> None:
        self._held = bytearray()
        self._looked = 0
        self._most = most_bytes

    @property
    def held_bytes(self) -> int:
        """Of an event that has not ended."""
        return len(self._held)

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that end in the next bytes. Raises EventTooLongError."""
        held = self._held
        held += chunk
        at = 0
        while (found := _END.search(held, max(at, self._looked))) is not None:
            yield _event(bytes(held[at : found.end()]))
            at = self._looked = found.end()
        del held[:at]
        self._looked = max(0, len(held) - _LONGEST_END)
        if len(held) > self._most:
            raise EventTooLongError

    def rest(self) -> bytes:
        """What is left of an event that never ended."""
        rest = bytes(self._held)
        self._held.clear()
        self._looked = 0
        return rest


def _event(raw: bytes) -> Event:
    found = _DATA.search(raw)
    if found is None or _DATA.search(raw, found.end()) is not None:
        return Event(raw, b"", b"")
    end = raw.find(b"\n", found.end())
    if raw[end - 1 : end] == b"\r":
        end -= 1
    return Event(raw[: found.end()], raw[found.end() : end], raw[end:])
