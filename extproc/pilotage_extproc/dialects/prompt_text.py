"""A request's canonical prompt text: equal beginnings of it are equal beginnings to a prefix cache."""

from typing import NamedTuple

from pilotage_extproc.dialects.call import Members
from pilotage_extproc.dialects.prompt_parts import PART_END, Parts, add_tools
from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.domain.head import CallKind


class PromptText(NamedTuple):
    """What a prompt is told apart by."""

    text: bytes
    all_text: bool
    """Whether the engine sees this text and nothing else: no media, no token ids, nothing it has stored."""
    parts: int
    """How many it was joined from."""


def read_parts(kind: CallKind, members: Members, parts: Parts) -> None:
    """Add the parts of a body whose members have been checked.

    Raises TypeError where a part is nested too deeply to be written down as JSON.
    """
    tools = members.get("tools")
    if tools:
        add_tools(tools, parts)
    DIALECTS[kind].prompt(members, parts)


def read_prompt(kind: CallKind, members: Members) -> PromptText:
    """The text of those parts; empty where there is none to speak of. Raises TypeError as they do."""
    parts = Parts()
    read_parts(kind, members, parts)
    parts.append(b"")
    all_text = parts.all_text
    for name in DIALECTS[kind].stands_for_more:
        all_text = all_text and members.get(name) is None
    return PromptText(PART_END.join(parts), all_text, len(parts) - 1)
