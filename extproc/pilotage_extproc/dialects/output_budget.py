"""An output budget as a body keeps it: a sentence that asks for a short answer, or a lower limit."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import orjson

from pilotage_extproc.dialects.brevity import instructed
from pilotage_extproc.dialects.call import Members, max_tokens
from pilotage_extproc.dialects.limits import OutputLimits
from pilotage_extproc.dialects.looking import UnknownFactError
from pilotage_extproc.dialects.splice import Edit, edited
from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.domain.head import CallKind

_LIMITS: Final[Mapping[CallKind, OutputLimits]] = MappingProxyType(
    {kind: OutputLimits(dialect) for kind, dialect in DIALECTS.items() if dialect.output_limits}
)


class OutputBudget(NamedTuple):
    """A level of a rule, and how it is kept."""

    tokens: int
    """The level; a client's own lower limit comes before it."""
    instructs: bool
    """The model is asked to be brief; else its answer is cut there."""
    clamp_at: int | None = None
    """Where answers are cut that the model was only asked to keep short."""

    def edits(self, kind: CallKind, body: bytes, members: Members) -> list[Edit]:
        """What keeps it in this body; none where it is kept already.

        Raises RequestRefused (400) where a member that is to change stands more than once.
        """
        if not self.instructs:
            return _LIMITS[kind].lowered(body, members, self.tokens)
        limit = limit_of(kind, members)
        asked = instructed(body, members, self.tokens if limit is None else min(self.tokens, limit))
        edits = [] if asked is None else [asked]
        if self.clamp_at is not None:
            edits += _LIMITS[kind].lowered(body, members, self.clamp_at)
        return edits

    def applied(self, kind: CallKind, body: bytes) -> bytes:
        """The body with these edits. Raises as `edits`; ValueError or KeyError for what is no such call."""
        edits = self.edits(kind, body, orjson.loads(body))
        return edited(body, edits) if edits else body


def limit_of(kind: CallKind, members: Members) -> int | None:
    """The client's own limit of output tokens; None where it states none that can be read."""
    try:
        limit = max_tokens(DIALECTS[kind], members)
    except UnknownFactError:
        return None
    return limit if limit is None or limit > 0 else None
