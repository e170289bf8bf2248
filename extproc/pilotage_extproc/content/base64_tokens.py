"""Tokens of a text that may be base64, and what they say."""

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final

_LEAST_TOKEN: Final = 20
_MOST_WORDS: Final = 8
_WORD: Final = re.compile(rb"[A-Za-z0-9+]*[/_-]+")
"""Of a path or a name in front of base64."""


def readings(text: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The token, and what is left of it behind words and slashes, which are signs of base64 too."""
    yield start, end
    for _ in range(_MOST_WORDS):
        found = _WORD.match(text, start, end)
        if found is None or end - found.end() < _LEAST_TOKEN:
            return
        start = found.end()
        yield start, end


def base64_text(token: bytes) -> bytes | None:
    """What a token says, where that is text."""
    body = token.rstrip(b"=")
    if len(body) % 4 == 1:
        return None
    try:
        raw = base64.b64decode(
            body + b"=" * (-len(body) % 4), altchars=b"-_" if b"-" in body or b"_" in body else None
        )
        text = raw.decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    return raw if text.isprintable() or "\n" in text else None
