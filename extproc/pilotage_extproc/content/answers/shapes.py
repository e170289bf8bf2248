"""Events of one stream that differ in a piece of text alone: known again without being parsed."""

import re
from typing import Final

from pilotage_extproc.dialects.answers.channels import Key
from pilotage_extproc.dialects.answers.leaves import Leaf

_MOST: Final = 8
_LONGEST: Final = 4096
_STRING: Final = rb'("[^"\\]*+(?:\\.[^"\\]*+)*+")'
_COUNTS: Final = re.compile(
    rb'(?<!\\)"(sequence_number|completion_tokens|total_tokens|output_tokens)":[ ]?[0-9]{1,9}'
)
"""Members that count on. Within a string their quotes would be escaped."""
_PADDING: Final = re.compile(rb'(?<!\\)"obfuscation":[ ]?"[A-Za-z0-9]{0,32}"')


class Shapes:
    """Those of one stream."""

    def __init__(self) -> None:
        self._known: list[tuple[re.Pattern[bytes], Key]] = []

    def find(self, data: bytes) -> tuple[Key, int, int] | None:
        """Which text an event goes on, and where the piece stands with its quotes; None where it is new."""
        for pattern, key in self._known:
            found = pattern.fullmatch(data)
            if found is not None:
                return key, found.start(1), found.end(1)
        return None

    def learn(self, skeleton: bytes, leaf: Leaf, key: Key) -> None:
        """An event with this one piece says nothing else that has to be looked at."""
        if len(skeleton) > _LONGEST:
            return
        before, after = _pattern(skeleton[: leaf.start]), _pattern(skeleton[leaf.end :])
        self._known.insert(0, (re.compile(before + _STRING + after, re.DOTALL), key))
        del self._known[_MOST:]


def _pattern(text: bytes) -> bytes:
    parts: list[bytes] = []
    at = 0
    variable = [
        *((found, rb'"%b":[ ]?[0-9]{1,9}' % found.group(1)) for found in _COUNTS.finditer(text)),
        *((found, rb'"obfuscation":[ ]?"[A-Za-z0-9]{0,32}"') for found in _PADDING.finditer(text)),
    ]
    for found, pattern in sorted(variable, key=lambda one: one[0].start()):
        parts += (re.escape(text[at : found.start()]), pattern)
        at = found.end()
    return b"".join((*parts, re.escape(text[at:])))
