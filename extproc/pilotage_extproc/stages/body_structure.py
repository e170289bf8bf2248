"""Bounds on what a body may cost, checked before anything parses it."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.domain.refusals import Refusal, RequestRefused

_COMMA, _BRACKET, _BRACE, _COLON, _QUOTE, _ZERO = b',[{:"0'
_CLOSING = 2
"""Each bracket or brace opened is also closed, or the body is not JSON and refused for that."""
_KEY = 2
"""A key costs as much as two more values: 180,000 different ones in one object take 80 ms to parse."""
_BEHIND_NUMBER = 0.5
"""Of a comma that directly follows a digit: a number in a flat list costs a third of a string there, and
prompts may be token ids."""
_BLOCK = 1 << 18
"""Bytes looked at in one go: what numpy makes of them stays in the processor's cache."""


def check_structure(body: bytes, max_structure: int) -> None:
    """Refuse bodies whose parsing would take seconds: 32 MiB of `[],[],…` take 2.7 s and 1 GiB.

    Raises RequestRefused (400) where a body has more than `max_structure` brackets, braces, commas and
    colons outside of strings: colons count twice, commas that directly follow a digit half.
    """
    for _ in structure_checked(body, max_structure):
        pass


def structure_checked(body: bytes, max_structure: int) -> Iterator[None]:
    """`check_structure` with a pause after each block of a large body.

    First everything is counted, in strings too: not looking for strings makes that cheap, and most
    bodies are far below the bound. Only what passes it is counted again, strings left out and numbers
    told from the rest.
    """
    if len(body) <= max_structure:
        return  # too short to pass the bound
    content = np.frombuffer(body, np.uint8)
    found = 0
    for start in range(0, len(body), _BLOCK):
        found += _structure(content[start : start + _BLOCK])
        yield
    if found > max_structure:
        yield from _checked_outside_strings(body, max_structure)


def _structure(content: NDArray[np.uint8]) -> int:
    # a comparison in numpy counts a byte four times faster than bytes.count
    commas, brackets, braces, colons = (
        int(np.count_nonzero(content == byte)) for byte in (_COMMA, _BRACKET, _BRACE, _COLON)
    )
    return commas + _CLOSING * (brackets + braces) + _KEY * colons


def _checked_outside_strings(body: bytes, max_structure: int) -> Iterator[None]:
    found, start, in_string, before = 0.0, 0, 0, 0
    while start < len(body):
        block = _whole_escapes(body, start)
        start += len(block)
        # without escaped backslashes, and then without escaped quotes, a quote begins or ends a string
        content = np.frombuffer(block.replace(b"\\\\", b"").replace(b'\\"', b""), np.uint8)
        if len(content):
            inside = np.bitwise_xor.accumulate((content == _QUOTE).view(np.uint8))
            outside = content[inside == in_string]
            in_string ^= int(inside[-1])
            if len(outside):
                found += _structure(outside) - (1 - _BEHIND_NUMBER) * _behind_numbers(outside, before)
                before = int(outside[-1])
        if found > max_structure:
            raise RequestRefused(
                Refusal.TOO_COMPLEX,
                f"The request body has more than {max_structure} brackets, braces, commas and colons outside "
                "of strings (a colon counts twice, a comma right behind a number half).",
            )
        yield


def _behind_numbers(content: NDArray[np.uint8], before: int) -> int:
    """Commas that directly follow a digit; `before` is the byte before the content."""
    digits = content - _ZERO < 10  # bytes below "0" wrap around to large ones
    commas = content == _COMMA
    first = bool(commas[0]) and 0 <= before - _ZERO < 10
    return first + int(np.count_nonzero(commas[1:] & digits[:-1]))


def _whole_escapes(body: bytes, start: int) -> bytes:
    """A block from `start` that does not end between a backslash and what it escapes."""
    block = body[start : start + _BLOCK]
    backslashes = len(block) - len(block.rstrip(b"\\"))
    return block if backslashes % 2 == 0 else body[start : start + _BLOCK + 1]
