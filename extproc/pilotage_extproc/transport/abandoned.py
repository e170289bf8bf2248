"""Streams that ended here before their caller had ended them: what still comes of them is passed over."""

from collections import OrderedDict
from typing import Final

_MOST: Final = 4_096


class Abandoned:
    """The latest of them."""

    __slots__ = ("_streams",)

    def __init__(self) -> None:
        # ordered: the first of a plain dict is found by passing over all that were deleted before it
        self._streams: OrderedDict[int, None] = OrderedDict()

    def __contains__(self, stream: int) -> bool:
        return stream in self._streams

    def add(self, stream: int) -> None:
        """More of it may come; the oldest is forgotten for it."""
        if len(self._streams) >= _MOST:
            self._streams.popitem(last=False)
        self._streams[stream] = None

    def ended(self, stream: int) -> None:
        """No more of it comes."""
        self._streams.pop(stream, None)
