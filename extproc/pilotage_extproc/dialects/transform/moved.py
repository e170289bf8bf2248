"""Which item of a list the client counts as which, where a policy puts one before others or takes some out.

A provider's hop refuses what it cannot translate by its place in the body that it gets; the client is told
the place in its own.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple, Self

_MOST_GONE: Final = 256
_MOST_LISTS: Final = 3
_BETWEEN: Final = "; "
_SAID: Final = re.compile(r"(messages|input|tools) ([01])(?: (\*|[0-9]{1,7}(?:,[0-9]{1,7})*))?")
_PLACE: Final = re.compile(r"([a-z]+)\.([0-9]{1,9})(.*)", re.DOTALL)


class Moved(NamedTuple):
    """How one list of a body differs from the client's."""

    member: str
    """`messages`, `input` or `tools`."""
    before: int
    """Items put before all others: 1 or 0."""
    gone: tuple[int, ...] | None = ()
    """The client's numbers of items that were left out, ascending; None of too many to tell."""

    def text(self) -> str:
        """As `read` takes it; headers have no blanks at their ends."""
        said = f"{self.member} {self.before}"
        if self.gone is None or len(self.gone) > _MOST_GONE:
            return f"{said} *"
        return f"{said} {','.join(map(str, self.gone))}" if self.gone else said

    @classmethod
    def read(cls, text: str) -> Self | None:
        """What `text` wrote; None of anything else."""
        found = _SAID.fullmatch(text)
        if found is None:
            return None
        member, before, gone = found.groups()
        if gone == "*":
            return cls(member, int(before), None)
        return cls(member, int(before), tuple(map(int, gone.split(","))) if gone else ())

    def own(self, path: str) -> str:
        """A place in the changed body as the client's has it; for an item of the policy's own, the list."""
        found = _PLACE.fullmatch(path)
        if found is None or found[1] != self.member:
            return path
        at = int(found[2]) - self.before
        if self.gone is None or at < 0:
            return self.member
        for one in self.gone:
            if one > at:
                break
            at += 1
        return f"{self.member}.{at}{found[3]}"


def moved_text(moved: Iterable[Moved]) -> str:
    """As `read_moved` takes it; empty of none."""
    return _BETWEEN.join([one.text() for one in moved])


def read_moved(text: str) -> tuple[Moved, ...]:
    """What `moved_text` wrote; what is none is left out."""
    found = [Moved.read(one) for one in text.split(_BETWEEN)[:_MOST_LISTS]]
    return tuple([one for one in found if one is not None])
