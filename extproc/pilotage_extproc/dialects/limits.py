"""Bound the output of a call: the edits that lower its limits, or put one in where it has none."""

import re
from typing import Final

from pilotage_extproc.dialects.call import Dialect, Members
from pilotage_extproc.dialects.splice import Edit, MemberName, check_single, members_added, value_start
from pilotage_extproc.domain.refusals import Refusal, RequestRefused

_NUMBER_OR_NULL: Final = re.compile(rb"null|-?[0-9]+")


class OutputLimits:
    """The members that bound one call's output, ready to be looked for."""

    def __init__(self, dialect: Dialect) -> None:
        self._names = [MemberName(name) for name in dialect.output_limits]

    def lowered(self, body: bytes, members: Members, most: int) -> list[Edit]:
        """Edits after which the body asks for at most `most` tokens of output; none where it does already.

        Raises RequestRefused (400) where a limit stands twice, or is no integer: servers read `"900"`
        and `9e2` as 900 too. Raises ValueError for a call without limits.
        """
        if not self._names:
            raise ValueError("this call has no limit of its output")
        edits: list[Edit] = []
        limited = False
        for name in self._names:
            if name.name not in members:
                continue
            check_single(body, name)
            limit = members[name.name]
            if limit is None:
                continue
            if not isinstance(limit, int) or isinstance(limit, bool):
                message = f"`{name.name}` must be an integer."
                raise RequestRefused(Refusal.INVALID_FIELD, message, param=name.name)
            limited = True
            if limit > most or limit < 0:  # below 0 it is none
                edits.append(_replaced(body, name, most))
            elif limit == 0:  # to some servers none, to others nothing
                edits.append(_replaced(body, name, 1))
        if limited:
            return edits
        added = self._names[-1]
        if added.name in members:  # null
            return [_replaced(body, added, most)]
        text = b"%b:%d" % (added.literal, most)
        return [members_added(body.index(b"{"), text, alone=not members)]


def _replaced(body: bytes, name: MemberName, value: int) -> Edit:
    start = value_start(body, name)
    old = _NUMBER_OR_NULL.match(body, start)
    if old is None:
        raise KeyError(name.name)
    return Edit(start, old.end(), b"%d" % value)
