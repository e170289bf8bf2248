"""Parts of text of one list: what of a JSON body is read on from one to the next."""

import re
from typing import Final

from pilotage_extproc.content.places import Place

_BRACKETS: Final = re.compile(rb"[][{}]")
_BOTH: Final = ((b"[", b"{"), (b"]", b"}"))
_LONG_GAP: Final = 1024


class PartsRun:
    """Texts of parts of one list, whatever else stands in the parts and between them."""

    def __init__(self) -> None:
        self.places: list[Place] = []
        self.end = 0
        """Where the last string ended."""
        self.level = 0
        """How deep below the parts' own members."""

    def goes_on(self, body: bytes, start: int) -> bool:
        """Whether a string that begins there is still within the list."""
        if start - self.end > _LONG_GAP:
            opened, closed = (sum(body.count(sign, self.end, start) for sign in both) for both in _BOTH)
            self.level += opened - closed
            return self.level >= -1
        for sign in _BRACKETS.findall(body, self.end, start):
            self.level += 1 if sign in b"[{" else -1
            if self.level < -1:
                return False
        return True
