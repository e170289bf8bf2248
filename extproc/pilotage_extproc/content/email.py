"""E-mail addresses."""

import re
from typing import Final

from pilotage_extproc.content.patterns import PatternDetector
from pilotage_extproc.content.spans import Span

_LOCAL: Final = r"[A-Za-z0-9\x80-\xff!#$%&'*+/=?^_{|}~.-]"
_LABEL: Final = r"[A-Za-z0-9\x80-\xff](?:[A-Za-z0-9\x80-\xff-]{0,62}[A-Za-z0-9\x80-\xff])?"
_AT: Final = r"(?:@|%40|&#64;|&#[xX]40;|&commat;)"
"""As it stands in URLs and in HTML too."""
_PATTERN: Final = rf"{_LOCAL}{{1,64}}{_AT}(?:{_LABEL}\.)+[A-Za-z\x80-\xff]{{2,24}}"
_SIGNS: Final = re.compile(_AT.encode())
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


def email() -> PatternDetector:
    """The detector."""
    return PatternDetector("email", _PATTERN, _address, hint=r"@|%40|&#[xX6]|&comm")
