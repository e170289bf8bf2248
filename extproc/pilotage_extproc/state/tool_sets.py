"""Which tools each conversation has been offered: chosen at its first turn, and then only more.

Definitions of tools stand before everything else in a prompt: another set each turn loses all that is cached.
"""

from collections import OrderedDict
from typing import Final

_MOST: Final = 20_000
_IDLE_SECONDS: Final = 3600.0


class ToolSets:
    """The least recently used go first, and those that have been idle for an hour. Of this process alone."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._sets: OrderedDict[int, tuple[frozenset[str], float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sets)

    def of(self, conversation: int, now: float) -> frozenset[str]:
        """Names it has been offered; none where that is not known."""
        known = self._sets.get(conversation)
        return frozenset() if known is None or now - known[1] > _IDLE_SECONDS else known[0]

    def offered(self, conversation: int, names: frozenset[str], now: float) -> None:
        """It is offered these from now on."""
        self._sets[conversation] = (names, now)
        self._sets.move_to_end(conversation)
        if len(self._sets) > self._most:
            self._sets.popitem(last=False)
