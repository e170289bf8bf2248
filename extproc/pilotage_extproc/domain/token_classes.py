"""Classes of bytes that tokenizers treat alike: common and rare letters, marks, lead bytes of UTF-8."""

from typing import Final

_ASCII: Final = (
    *(" ", "\n\r", "\t", "0123456789", "AEIOU", "BCDFGHJKLMNPQRSTVWXYZ"),
    *("ae", "iou", "nr", "st", "l", "d", "h", "cm", "pg", "by", "f", "v", "wk", "jq", "xz"),
    *(".", ",", '"', "'", "`", "([{", ")]}", "=", "+*%<>", "/\\", "-", "_", ":;", "#@$&|~^", "!?"),
)
_FROM: Final = (
    *(0x80, 0x90, 0xA0, 0xB0),  # inside a character: Cyrillic and Arabic letters differ by these
    *(
        0xC0,
        0xC4,
        0xC8,
        0xCC,
        0xD0,
        0xD1,
        0xD2,
        0xD4,
        0xD7,
        0xD8,
        0xDC,
    ),  # Latin, Greek, Cyrillic, Hebrew, Arabic
    *(0xE0, 0xE1, 0xE2, 0xE3, 0xE4, 0xE7, 0xEA, 0xEE, 0xF0),  # Indic, marks, kana, Han, Hangul, emoji
)
BOUNDARY: Final = 0
"""Control characters, and what stands before a text."""
CLASSES: Final = 1 + len(_ASCII) + len(_FROM)


def _classes() -> bytes:
    table = bytearray(256)
    for number, characters in enumerate(_ASCII, BOUNDARY + 1):
        for character in characters:
            table[ord(character)] = number
    for number, first in enumerate(_FROM, BOUNDARY + 1 + len(_ASCII)):
        table[first:] = bytes([number]) * (256 - first)
    return bytes(table)


CLASS_OF_BYTE: Final = _classes()
"""A table for `bytes.translate`."""
