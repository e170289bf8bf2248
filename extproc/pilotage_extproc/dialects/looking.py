"""How much of a body is looked at before a condition is told: bodies may hold a hundred thousand parts."""

import re
from typing import Any, Final

MOST_LOOKED_AT: Final = 8_000
"""Messages, parts of them, tools and calls of tools that one fact looks at: up to 6 ms on a slow core."""


_ESCAPED_LETTER: Final = re.compile(rb"\\u00[4-7]")


def may_be_in(body: bytes, name: bytes, *, more_than: int = 0) -> bool:
    """Whether a member of this name may stand in a body more often than that.

    False is certain: within a string a quote has a backslash, so that no text passes for a name. Names may be
    written with escapes, and then it may.
    """
    return body.count(b'"%b"' % name) > more_than or _ESCAPED_LETTER.search(body) is not None


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
