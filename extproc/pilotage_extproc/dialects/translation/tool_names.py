"""Names of tools that a provider's API takes: the others are refused, since renamed tools would be others."""

import re
from typing import Final

from pilotage_extproc.dialects.translation.common import CommonRequest, ToolCall
from pilotage_extproc.dialects.translation.reading import untranslatable

OPENAI_NAME: Final = 64
"""Characters of a name, wherever it stands: https://platform.openai.com/docs/api-reference/chat/create."""
ANTHROPIC_NAME: Final = 128
"""Characters of a tool's name."""
ANTHROPIC_CALLED: Final = 200
"""Characters of the name in an earlier call: that is looked at less strictly."""
_PLAIN: Final = re.compile(r"[a-zA-Z0-9_-]+")


def check_names(request: CommonRequest, longest: int, longest_called: int) -> None:
    """Raises RequestRefused (400), which names the field, for a tool or an earlier call of another name."""
    for tool in request.tools:
        _check(tool.name, tool.path, longest)
    for turn in request.turns:
        for part in turn.parts:
            if isinstance(part, ToolCall):
                _check(part.name, part.path, longest_called)


def _check(name: str, path: str, longest: int) -> None:
    if len(name) > longest or not _PLAIN.fullmatch(name):
        raise untranslatable(path, f"names have up to {longest} letters, digits, `-` and `_` there")
