"""Streams that ended here before their caller had ended them: what still comes of them is passed over."""

from typing import Final

_MOST: Final = 4_096


class Abandoned:
    """The latest of them."""

    __slots__ = ("_streams",)

    def __init__(self) -> None:
        self._streams: dict[int, None] = {}

    def __contains__(self, stream: int) -> bool:
        return stream in self._streams

    def add(self, stream: int) -> None:
        """More of it may come; the oldest is forgotten for it."""
        if len(self._streams) >= _MOST:
            del self._streams[next(iter(self._streams))]
        self._streams[stream] = None

    def ended(self, stream: int) -> None:
        """No more of it comes."""
        self._streams.pop(stream, None)
