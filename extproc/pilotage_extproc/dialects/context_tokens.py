"""How many tokens a prompt probably has, before any engine has counted them."""

from typing import Final

from pilotage_extproc.dialects.call import Members
from pilotage_extproc.dialects.prompt_parts import PART_END
from pilotage_extproc.dialects.prompt_text import read_parts
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.token_estimate import estimate_tokens

_AROUND_A_PART: Final = 1
"""Tokens of a chat template for each part, beside the one that the part's end is estimated as. A message is
two parts, its role and its content: four tokens around them, as in ChatML and Llama 3."""


def context_tokens(kind: CallKind, members: Members) -> int:
    """An estimate over tools, system prompt and messages; 0 where the call has no prompt.

    Token ids are counted; an image, sound or file is 576 tokens, whatever its size.
    """
    parts = read_parts(kind, members)
    counted = parts.counted
    read = [b"" if place in counted else part for place, part in enumerate(parts)] if counted else parts
    around = (len(parts) - 1) * _AROUND_A_PART
    return estimate_tokens(PART_END.join(read)) + around + sum(counted.values())
