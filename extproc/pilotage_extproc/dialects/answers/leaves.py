"""Values of a JSON text by their path, and where they stand in its bytes."""

import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import orjson

_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},:]|[^\s\[\]{},:"]++', re.DOTALL)
_PAUSE_EVERY: Final = 2000
_COMMA, _COLON, _LIST, _OBJECT = b",:[{"
_OPENING: Final = (_LIST, _OBJECT)
_OF_PARTS: Final = "text"

Path = tuple[str, ...]
"""Names of members; `*` is any item of a list."""
Wanted = Callable[[Path], bool]


class Leaf(NamedTuple):
    """One value."""

    path: Path
    indexes: tuple[int, ...]
    """Of the items that it stands in, outermost first."""
    start: int
    end: int
    """Quotes included."""


class _Level:
    """A list or object that has not ended."""

    __slots__ = ("_key", "index", "is_list", "path")

    def __init__(self, path: Path, *, is_list: bool) -> None:
        self.path = path
        self.is_list = is_list
        self.index = 0
        self._key: str | None = None

    @property
    def wants_key(self) -> bool:
        """Whether the next string is the name of a member."""
        return not self.is_list and self._key is None

    def name(self, raw: bytes) -> None:
        """The next member's."""
        self._key = str(orjson.loads(raw)) if b"\\" in raw else raw[1:-1].decode("utf-8", "replace")

    def comma(self) -> None:
        """Another item or member follows."""
        self.index += 1
        self._key = None

    def below(self) -> Path:
        """The path of the value that comes now."""
        return (*self.path, "*" if self._key is None else self._key)


def leaves(text: bytes, wanted: Wanted, into: list[Leaf]) -> Iterator[None]:
    """Steps that find the values of a valid JSON text whose path is wanted, in order; none within another.

    A member that stands twice is found twice.
    """
    stack: list[_Level] = []
    within = 0  # the depth of a wanted list or object: what is inside is not looked at
    whole = Leaf((), (), 0, 0)
    for count, found in enumerate(_TOKEN.finditer(text), 1):
        if count % _PAUSE_EVERY == 0:
            yield
        sign = text[found.start()]
        if sign == _COLON:
            continue
        if sign in b"}]":
            stack.pop()
            if within > len(stack):
                within = 0
                into.append(whole._replace(end=found.end()))
        elif sign == _COMMA:
            stack[-1].comma()
        elif stack and stack[-1].wants_key:
            stack[-1].name(found.group())
        else:
            path = stack[-1].below() if stack else ()
            # of a list of parts in the place of a text each part's text is wanted
            has_parts = sign == _LIST and wanted((*path, "*", _OF_PARTS))
            is_wanted = not within and not has_parts and wanted(path)
            if is_wanted:
                indexes = tuple([level.index for level in stack if level.is_list])
                whole = Leaf(path, indexes, *found.span())
            if sign in _OPENING:
                stack.append(_Level(path, is_list=sign == _LIST))
                if is_wanted:
                    within = len(stack)
            elif is_wanted:
                into.append(whole)
