"""E-mail addresses."""

import re
from collections.abc import Iterator
from typing import Final

from pilotage_extproc.content.patterns import PatternDetector
from pilotage_extproc.content.spans import Span

_LOCAL: Final = r"[A-Za-z0-9\x80-\xff!#$%&'*+/=?^_{|}~.-]"
_LABEL: Final = r"[A-Za-z0-9\x80-\xff](?:[A-Za-z0-9\x80-\xff-]{0,62}[A-Za-z0-9\x80-\xff])?"
_DOMAIN: Final = rf"(?:{_LABEL}\.)+[A-Za-z\x80-\xff]{{2,24}}"
_WRITTEN: Final = r"(?:%40|&#64;|&#[xX]40;|&commat;)"
"""As `@` stands in URLs and in HTML."""
_SIGNS: Final = re.compile(rf"@|{_WRITTEN}".encode())
_NOBODYS: Final = (b"git", b"hg", b"svn")
"""How code hosts are reached by ssh."""


def _address(text: bytes, start: int, end: int) -> Span | None:
    signs = list(_SIGNS.finditer(text[start:end]))
    at = start + signs[-1].start()
    while start < at and text[start] in b"'/=.{}|?&":  # what often stands before an address
        start += 1
    if start == at or text[start:at].lower() in _NOBODYS:
        return None
    return Span(start, end)


class Email:
    """Finds addresses, also as they stand in URLs and in HTML."""

    name = "email"

    def __init__(self) -> None:
        self._plain = PatternDetector(self.name, rf"{_LOCAL}{{1,64}}@{_DOMAIN}", _address, hint="@")
        self._written = PatternDetector(
            self.name, rf"{_LOCAL}{{1,64}}{_WRITTEN}{_DOMAIN}", _address, hint=_WRITTEN
        )

    def find(self, text: bytes) -> Iterator[Span | None]:
        """Spans of addresses, and pauses."""
        yield from self._plain.find(text)
        yield from self._written.find(text)
