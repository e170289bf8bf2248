"""A request's numbers kept within bounds, and members taken out of it."""

import math
import re
from typing import Any, Final

from pilotage_api.transform_parameters import NUMBERS, OUTPUT_LIMIT, member_of
from pilotage_api.transform_snapshot import BoundSnapshot
from pilotage_extproc.dialects.call import Dialect, Members
from pilotage_extproc.dialects.splice import Edit, MemberName, check_single, key_span, value_start
from pilotage_extproc.dialects.transform.walk import Walk
from pilotage_extproc.domain.refusals import Refusal, RequestRefused

_NUMBER: Final = re.compile(rb"-?[0-9][0-9.eE+-]*")
_BLANK: Final = b" \t\r\n"


class Bound:
    """Bounds of one number, ready to be kept."""

    def __init__(self, given: BoundSnapshot) -> None:
        self.name = given.name
        self._default = given.default
        self._maximum = given.maximum
        self._low = _limit(given.minimum, -math.inf)
        self._high = _limit(given.maximum, math.inf)
        self._low_text, self._high_text = given.minimum or "", given.maximum or ""
        self._fact = NUMBERS[given.name]
        self.limits_output = given.name == OUTPUT_LIMIT
        self._own = MemberName(member_of(given.name))

    def edits(self, body: bytes, members: Members, dialect: Dialect) -> list[Edit]:
        """What brings the number within its bounds; nothing where it is.

        Raises RequestRefused (400) where it is no number, or stands more than once.
        """
        if self.limits_output:
            return self._of_output(body, members, dialect)
        if members.get(self._own.name) is not None:
            return self._kept(body, self._own, members[self._own.name])
        if self._default is None or dialect.kind.value not in self._fact.calls:
            return []
        return [put(body, members, self._own, self._default.encode())]

    def kept_limit(self, own: int | None) -> int | None:
        """What becomes of a limit of the output; None is none."""
        if own is not None:
            return int(min(max(own, self._low), self._high))
        text = self._default or self._maximum
        return None if text is None else int(float(text))

    def _of_output(self, body: bytes, members: Members, dialect: Dialect) -> list[Edit]:
        """All members that bound the output; one is put in where none stands."""
        names = [MemberName(name) for name in dialect.output_limits]
        given = [name for name in names if members.get(name.name) is not None]
        if given:
            return [edit for name in given for edit in self._kept(body, name, members[name.name])]
        text = self._default or self._maximum
        if not names or text is None:
            return []
        return [put(body, members, names[-1], text.encode())]

    def _kept(self, body: bytes, name: MemberName, value: Any) -> list[Edit]:
        if not _is_number(value, whole=self._fact.whole):
            kind = "an integer" if self._fact.whole else "a number"
            message = f"`{name.name}` must be {kind}."
            raise RequestRefused(Refusal.INVALID_FIELD, message, param=name.name)
        if self._low <= value <= self._high:
            check_single(body, name)
            return []
        start = value_start(body, name)
        old = _NUMBER.match(body, start)
        if old is None:
            raise KeyError(name.name)
        return [Edit(start, old.end(), (self._low_text if value < self._low else self._high_text).encode())]


def _limit(text: str | None, otherwise: float) -> float:
    return otherwise if text is None else float(text)


def _is_number(value: Any, *, whole: bool) -> bool:
    """Model servers read `"2"` and `2.0` as 2 too: what is no plain number would pass by a bound."""
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, float) and not whole)


def put(body: bytes, members: Members, name: MemberName, value: bytes) -> Edit:
    """The edit that gives a member that is missing or null a value (JSON text)."""
    if name.name in members:
        start = value_start(body, name)
        return Edit(start, start + len(b"null"), value)
    # last in the object: what the gateway puts first, and takes out again by its place, stays there
    end = len(body.rstrip(_BLANK)) - 1
    return Edit(end, end, b",%b:%b" % (name.literal, value))


def removed(body: bytes, name: MemberName) -> bytes:
    """The body without a top-level member it has, and without one of its commas.

    Raises RequestRefused (400) where the member stands more than once.
    """
    start, _ = key_span(body, name)
    end = Walk(body).value(value_start(body, name)).end
    before = len(body[:start].rstrip(_BLANK))
    if body[before - 1 : before] == b",":
        return body[: before - 1] + body[end:]
    after = _next_sign(body, end)
    return body[:start] + body[after + 1 if body[after : after + 1] == b"," else end :]


def _next_sign(body: bytes, at: int) -> int:
    while body[at : at + 1] in (b" ", b"\t", b"\r", b"\n"):
        at += 1
    return at
