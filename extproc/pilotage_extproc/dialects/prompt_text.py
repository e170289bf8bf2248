"""A request's canonical prompt text: equal beginnings of it are equal beginnings to a prefix cache."""

from pilotage_extproc.dialects.call import Members
from pilotage_extproc.dialects.prompt_parts import PART_END, add_tools
from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.domain.head import CallKind


def prompt_text(kind: CallKind, members: Members) -> bytes:
    """The text of a body whose members have been checked; empty where there is none to speak of.

    Raises TypeError where a part is nested too deeply to be written down as JSON.
    """
    parts: list[bytes] = []
    add_tools(members.get("tools"), parts)
    DIALECTS[kind].prompt(members, parts)
    parts.append(b"")
    return PART_END.join(parts)
