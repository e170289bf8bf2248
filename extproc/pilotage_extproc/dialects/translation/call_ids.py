"""Ids of calls of tools, in the form that a provider takes.

Servers make ids of any form (`functions.look:0`, forty-six characters), and a conversation takes them along
to the next provider, which may refuse them. The same id becomes the same text wherever it stands.
"""

import re
from hashlib import sha256
from typing import Final

from pilotage_extproc.dialects.translation.reading import Reading

_ANTHROPIC: Final = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_OF_OPENAI: Final = 40
"""Characters."""
_DIGITS: Final = 32


def for_messages(call: str, reading: Reading) -> str:
    """The id as Anthropic takes it."""
    return call if _ANTHROPIC.fullmatch(call) else _made("toolu_", call, reading)


def for_chat(call: str, reading: Reading) -> str:
    """The id as OpenAI takes it."""
    return call if len(call) <= _LONGEST_OF_OPENAI else _made("call_", call, reading)


def _made(prefix: str, call: str, reading: Reading) -> str:
    reading.note("ids of calls", "put in the provider's form")
    return prefix + sha256(call.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
