"""How much of a body is looked at before a condition is told: bodies may hold a hundred thousand parts."""

from typing import Any, Final

MOST_LOOKED_AT: Final = 8_000
"""Messages, parts of them, tools and calls of tools that one fact looks at: up to 6 ms on a slow core."""


class UnknownFactError(Exception):
    """Nobody can tell this of the body: it holds more than is looked at, or no value of the right kind."""


class Looking:
    """One fact's way through a body; bounded in what it looks at."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = MOST_LOOKED_AT

    def objects(self, value: Any) -> list[dict[str, Any]]:
        """The objects of a list; none of anything else. Raises UnknownFactError past the bound."""
        if not isinstance(value, list):
            return []
        self._left -= len(value)
        if self._left < 0:
            raise UnknownFactError
        return [one for one in value if isinstance(one, dict)]
