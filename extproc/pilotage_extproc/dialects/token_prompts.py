"""Prompts that are given as tokens or embeddings: what they say is known to the model server alone."""

from collections.abc import Generator
from typing import Final

from pilotage_extproc.dialects.call import Members

_TEXTS: Final = ("prompt", "input")
"""Members that may be text, tokens, or lists of either."""
_NEVER_TEXT: Final = ("prompt_embeds", "prompt_token_ids", "input_ids", "input_embeds")
"""Of vLLM and SGLang."""
_PAUSE_EVERY: Final = 4096


def given_as_tokens(members: Members) -> Generator[None, None, bool]:
    """Whether a part of the prompt is no text. Steps with pauses."""
    if any(members.get(name) is not None for name in _NEVER_TEXT):
        return True
    for name in _TEXTS:
        items = members.get(name)
        for count, item in enumerate(items if isinstance(items, list) else (), 1):
            if isinstance(item, int | float | list):
                return True
            if count % _PAUSE_EVERY == 0:
                yield
    return False
