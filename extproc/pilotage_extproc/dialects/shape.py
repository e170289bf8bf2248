"""What a call asks of its answer, as far as that bounds what may be done to its length."""

from typing import Any, Final

from pilotage_extproc.dialects.call import Dialect, Members, is_one_answer
from pilotage_extproc.dialects.looking import UnknownFactError

_OFF: Final = frozenset({"none", "disabled"})


def _is_on(value: Any) -> bool:
    return isinstance(value, str) and value not in _OFF


def asks_reasoning(members: Members) -> bool:
    """Whether the call asks the model to think before it answers."""
    if _is_on(members.get("reasoning_effort")):
        return True
    reasoning, thinking = members.get("reasoning"), members.get("thinking")
    if isinstance(reasoning, dict) and _is_on(reasoning.get("effort", "on")):
        return True
    if isinstance(thinking, dict) and _is_on(thinking.get("type")):
        return True
    template = members.get("chat_template_kwargs")
    return isinstance(template, dict) and (
        template.get("enable_thinking") is True or template.get("thinking") is True
    )


def asks_json(dialect: Dialect, members: Members) -> bool:
    """Whether the answer must be JSON, by a schema or at large, or follow a grammar."""
    if dialect.facts.json_schema(members):
        return True
    text = members.get("text")
    for wanted in (members.get("response_format"), text.get("format") if isinstance(text, dict) else None):
        if isinstance(wanted, dict) and wanted.get("type") not in (None, "text"):
            return True
    guided = ("guided_json", "guided_regex", "guided_choice", "guided_grammar", "structured_outputs")
    return any(members.get(name) is not None for name in guided)


def uses_tools(dialect: Dialect, members: Members) -> bool:
    """Whether it offers tools, or its conversation has used some."""
    return bool(dialect.facts.tool_names(members)) or bool(dialect.facts.tools_used(members))


def is_plain(dialect: Dialect, members: Members) -> bool:
    """Whether its answer may be kept short: one text, no tools, no reasoning. What is unknown may not."""
    try:
        return is_one_answer(members) and not (
            asks_reasoning(members) or asks_json(dialect, members) or uses_tools(dialect, members)
        )
    except UnknownFactError:
        return False


def capabilities_needed(dialect: Dialect, members: Members) -> frozenset[str]:
    """What its model must be able to do: `tools`, `json`, `vision`, `audio`. Unknown is not needed."""
    facts, needed = dialect.facts, set[str]()
    try:
        if facts.tool_names(members):
            needed.add("tools")
        if facts.json_schema(members):
            needed.add("json")
        media = facts.media(members)
        if media.images:
            needed.add("vision")
        if media.audio:
            needed.add("audio")
    except UnknownFactError:
        pass
    return frozenset(needed)
