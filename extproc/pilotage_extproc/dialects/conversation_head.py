"""What tells conversations apart: their head, which stays the same from turn to turn."""

from typing import Any, Final

import xxhash

from pilotage_extproc.dialects.call import Dialect, Members
from pilotage_extproc.dialects.conversation import texts_in
from pilotage_extproc.dialects.looking import Looking, UnknownFactError
from pilotage_extproc.dialects.prompt_parts import text_bytes

_MOST_MESSAGES: Final = 64
"""Looked at for the first one of the user."""
_MOST_BYTES: Final = 64 * 1024
"""Of it, digested."""


def conversation_head(dialect: Dialect, members: Members) -> bytes | None:
    """A digest of the system prompt and the user's first message; None where there is none to be read."""
    try:
        first = _first_message(members)
        if first is None:
            return None
        system = dialect.facts.system_digest(members) or ""
    except UnknownFactError:
        return None
    return xxhash.xxh3_128_digest(system.encode() + b"\x1e" + first)


def _first_message(members: Members) -> bytes | None:
    given = members.get("messages", members.get("input"))
    if isinstance(given, str):
        return text_bytes(given[:_MOST_BYTES])
    if not isinstance(given, list):
        return None
    for message in given[:_MOST_MESSAGES]:
        if isinstance(message, dict) and message.get("role") == "user":
            return _text(message.get("content"))
    return None


def _text(content: Any) -> bytes | None:
    found, left = list[bytes](), _MOST_BYTES
    for text in texts_in(content, Looking()):
        found.append(text_bytes(text[:left]))
        left -= len(text)
        if left <= 0:
            break
    return b"\x1e".join(found) or None
