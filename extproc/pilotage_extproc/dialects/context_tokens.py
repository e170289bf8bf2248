"""How many tokens a prompt probably has, before any engine has counted them."""

from typing import Any

from pilotage_extproc.dialects.prompt_text import read_prompt
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.token_estimate import estimate_tokens


def context_tokens(kind: CallKind, members: dict[str, Any]) -> int:
    """An estimate over tools, system prompt and messages, in the order engines see them."""
    return estimate_tokens(read_prompt(kind, members).text)
