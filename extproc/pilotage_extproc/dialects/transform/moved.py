"""Which item of a list the client counts as which, where some are put before others or taken out.

A provider's hop refuses what it cannot translate by its place in the body that it gets; the client is told
the place in its own.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Self

LISTS: Final = ("messages", "input", "system", "tools", "functions", "mcp_servers")
"""Members whose items may stand elsewhere than in the client's body."""
_MOST_GONE: Final = 256
_MOST_CHANGES: Final = 6
_BETWEEN: Final = "; "
_SAID: Final = re.compile(rf"({'|'.join(LISTS)}) ([0-2])(?: (\*|[0-9]{{1,7}}(?:,[0-9]{{1,7}})*))?")
_PARTS_SAID: Final = re.compile(r"content ([0-9]{1,7}) ([12])")
_THINKING_SAID: Final = re.compile(
    r"thinking (\*|[0-9]{1,7}(?:\.[0-9]{1,7})?(?:,[0-9]{1,7}(?:\.[0-9]{1,7})?)*)"
)
_PLACE: Final = re.compile(r"([a-z_]+)\.([0-9]{1,9})(.*)", re.DOTALL)
_BLOCK: Final = re.compile(r"\.content\.([0-9]{1,9})(.*)", re.DOTALL)


class Moved(NamedTuple):
    """How one list of a body differs from the client's."""

    member: str
    """One of `LISTS`."""
    before: int
    """Items put before all others, at most 2."""
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
        return f"{self.member}.{_counted(at, self.gone)}{found[3]}"


class OwnParts(NamedTuple):
    """Parts of the policy's own, before the client's in the content of one of `messages`."""

    message: int
    before: int
    """1 or 2."""

    def text(self) -> str:
        """As `read` takes it."""
        return f"content {self.message} {self.before}"

    @classmethod
    def read(cls, text: str) -> Self | None:
        """What `text` wrote; None of anything else."""
        found = _PARTS_SAID.fullmatch(text)
        return None if found is None else cls(int(found[1]), int(found[2]))

    def own(self, path: str) -> str:
        """A place in the changed body as the client's has it; for a part of the policy's own, the content."""
        found = _PLACE.fullmatch(path)
        if found is None or found[1] != "messages" or int(found[2]) != self.message:
            return path
        inside = _BLOCK.fullmatch(found[3])
        if inside is None:
            return path
        at = int(inside[1]) - self.before
        content = f"messages.{self.message}.content"
        return content if at < 0 else f"{content}.{at}{inside[2]}"


class GoneThinking(NamedTuple):
    """Thinking that was taken out of `messages`, by the client's numbers."""

    places: tuple[tuple[int, int | None], ...] | None
    """Message and block, or a whole message and None; ascending. None of too many to tell."""

    def text(self) -> str:
        """As `read` takes it."""
        if self.places is None or len(self.places) > _MOST_GONE:
            return "thinking *"
        said = [str(message) if block is None else f"{message}.{block}" for message, block in self.places]
        return f"thinking {','.join(said)}"

    @classmethod
    def read(cls, text: str) -> Self | None:
        """What `text` wrote; None of anything else."""
        found = _THINKING_SAID.fullmatch(text)
        if found is None:
            return None
        if found[1] == "*":
            return cls(None)
        pairs = [one.partition(".") for one in found[1].split(",")]
        return cls(tuple([(int(message), int(block) if block else None) for message, _, block in pairs]))

    def own(self, path: str) -> str:
        """A place in the changed body as the client's has it; the list alone where that is not known."""
        found = _PLACE.fullmatch(path)
        if found is None or found[1] != "messages":
            return path
        if self.places is None:
            return "messages"
        at = _counted(int(found[2]), [message for message, block in self.places if block is None])
        rest = found[3]
        inside = _BLOCK.fullmatch(rest)
        if inside is not None:
            gone = [block for message, block in self.places if message == at and block is not None]
            rest = f".content.{_counted(int(inside[1]), gone)}{inside[2]}"
        return f"messages.{at}{rest}"


def _counted(at: int, gone: Sequence[int]) -> int:
    """The number, before those that are gone went, of what is number `at` without them."""
    for one in gone:
        if one > at:
            break
        at += 1
    return at


Change = Moved | OwnParts | GoneThinking


def moved_text(moved: Iterable[Change]) -> str:
    """As `read_moved` takes it; empty of none."""
    return _BETWEEN.join([one.text() for one in moved])


def read_moved(text: str) -> tuple[Change, ...]:
    """What `moved_text` wrote; what is none is left out."""
    said = text.split(_BETWEEN)[:_MOST_CHANGES]
    found = [Moved.read(one) or OwnParts.read(one) or GoneThinking.read(one) for one in said]
    return tuple([one for one in found if one is not None])
