"""What users wrote in a prompt, by its head and its tail: what topics and languages are told by."""

from dataclasses import dataclass
from typing import Any, Final

from pilotage_extproc.dialects.call import Members
from pilotage_extproc.dialects.prompt_parts import Parts, text_bytes
from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.domain.head import CallKind

MOST_BYTES: Final = 4096
_HALF: Final = MOST_BYTES // 2
_BETWEEN: Final = "\n"


@dataclass(slots=True, frozen=True)
class UserText:
    """The text of a prompt's users."""

    text: bytes
    """UTF-8 (lone surrogates too), at most 4 KiB: the first and the last 2 KiB of a longer one."""
    length: int
    """Characters of all of it."""


def user_text(kind: CallKind, members: Members) -> UserText:
    """The words of messages of role `user`, or of a prompt without roles; without tools, media and JSON.

    System prompts are left out: they are the same for every question that an application asks.
    """
    parts = _UserParts()
    DIALECTS[kind].prompt(members, parts)
    return UserText(parts.head_and_tail(), parts.length)


class _UserParts(Parts):
    """Keeps references to texts; nothing is copied or written down before it is known what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.length = 0
        self._pieces: list[str] = []
        self._of_user = True

    def add_role(self, role: str, *, written: bool = True) -> None:  # noqa: ARG002 - written or not
        self.append(b"")
        self._of_user = role == "user"

    def add_text(self, text: str) -> None:
        self.append(b"")
        if self._of_user and text:
            self._pieces.append(text)
            self.length += len(text)

    def add_said(self, role: str, text: str) -> None:
        self.add_role(role)
        self.add_text(text)

    def add_json(self, value: Any) -> None:  # noqa: ARG002 - no user's words
        self.append(b"")

    def add_media(self, part: dict[str, Any]) -> None:  # noqa: ARG002 - no words
        self.append(b"")

    def add_values(self, values: Any) -> None:
        for value in values[:_HALF] if isinstance(values, list) else ():
            if isinstance(value, str):
                self.add_text(value)

    def head_and_tail(self) -> bytes:
        """All of it, or its first and last 2 KiB."""
        if self.length + len(self._pieces) <= MOST_BYTES:
            whole = text_bytes(_BETWEEN.join(self._pieces))
            if len(whole) <= MOST_BYTES:
                return whole
        head, left = [], _HALF
        for piece in self._pieces:
            head.append(piece[:left])
            left -= len(piece) + 1
            if left <= 0:
                break
        tail, left = [], _HALF
        for piece in reversed(self._pieces):
            tail.append(piece[-left:])
            left -= len(piece) + 1
            if left <= 0:
                break
        end = text_bytes(_BETWEEN.join(reversed(tail)))
        return _first(text_bytes(_BETWEEN.join(head)), _HALF - 1) + b"\n" + _last(end, _HALF)


def _first(text: bytes, most: int) -> bytes:
    """The first bytes, up to whole characters."""
    end = min(most, len(text))
    while 0 < end < len(text) and text[end] & 0xC0 == 0x80:
        end -= 1
    return text[:end]


def _last(text: bytes, most: int) -> bytes:
    begin = max(0, len(text) - most)
    while begin < len(text) and begin and text[begin] & 0xC0 == 0x80:
        begin += 1
    return text[begin:]
