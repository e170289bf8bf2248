"""Ids of calls of tools, in the form that a provider takes.

Servers make ids of any form (`functions.look:0`, forty-six characters), and a conversation takes them along
to the next provider, which may refuse them. The same id becomes the same text wherever it stands.
"""

import re
from hashlib import sha256
from typing import Final

from pilotage_extproc.dialects.translation.reading import Reading

_ANTHROPIC: Final = re.compile(r"[A-Za-z0-9_-]+")
LONGEST_IN_CHATS: Final = 40
"""Characters, of OpenAI's chat completions: of the two limits that its servers have stated the lower."""
_DIGITS: Final = 32


def for_messages(call: str, reading: Reading) -> str:
    """The id as Anthropic takes it."""
    if _ANTHROPIC.fullmatch(call):
        return call
    _note(reading)
    return _made("toolu_", call)


def for_chat(call: str, reading: Reading) -> str:
    """The id as OpenAI's chat completions take it."""
    if len(call) <= LONGEST_IN_CHATS:
        return call
    _note(reading)
    return shortened(call)


def shortened(call: str) -> str:
    """A long id as OpenAI takes it."""
    return _made("call_", call)


def _note(reading: Reading) -> None:
    reading.note("ids of calls", "put in the provider's form")


def _made(prefix: str, call: str) -> str:
    return prefix + sha256(call.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
