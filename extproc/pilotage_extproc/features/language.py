"""Which language a text is in: by CLD2, in the package pycld2, loaded when first asked for."""

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

PACKAGE: Final = "pycld2"
NOT_AVAILABLE: Final = (
    "prompt.language needs the package pycld2, which has no build for this platform; it is unknown here"
)
_MOST_BYTES: Final = 1024
"""More does not make it surer, and takes longer."""
_END_BYTES: Final = 256
"""Of a longer text that is ASCII these at both ends are enough, where they are sure and say the same: what
is quoted or pasted in another language mostly stands at one end."""
_WITHOUT_CONTROLS: Final = bytes(byte if 0x20 <= byte != 0x7F else 0x20 for byte in range(256))
UNKNOWN_LANGUAGE: Final = "und"
"""As BCP 47 says it."""


def available() -> bool:
    """Whether this platform has the package."""
    return find_spec(PACKAGE) is not None


@cache
def _detector() -> Any:
    return import_module(PACKAGE)


def language_of(text: bytes) -> str:
    """ISO 639-1 code (`en`, `zh`, `zh-Hant`), or `und` where no language is sure. Raises ImportError."""
    cld2 = _detector()
    plain = text[:_MOST_BYTES].translate(_WITHOUT_CONTROLS)
    if plain.isascii():
        if len(plain) > 2 * _END_BYTES:
            ends = {_told(cld2, plain[:_END_BYTES]), _told(cld2, plain[-_END_BYTES:])}
            if len(ends) == 1 and UNKNOWN_LANGUAGE not in ends:
                return ends.pop()
        return _told(cld2, plain)
    plain = plain.decode("utf-8", "ignore").encode()
    try:
        reliable, _, found = cld2.detect(plain, isPlainText=True)
    except cld2.error:  # it takes no character that cannot be printed
        printable = "".join([one if one.isprintable() else " " for one in plain.decode()])
        try:
            reliable, _, found = cld2.detect(printable, isPlainText=True)
        except cld2.error:
            return UNKNOWN_LANGUAGE
    return _code(reliable, found)


def _told(cld2: Any, plain: bytes) -> str:
    reliable, _, found = cld2.detect(plain, isPlainText=True)
    return _code(reliable, found)


def _code(reliable: bool, found: Any) -> str:
    code = found[0][1]
    return str(code) if reliable and code != "un" else UNKNOWN_LANGUAGE
