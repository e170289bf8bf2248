"""IBANs: a country, its length, and ISO 13616's check digits."""

from types import MappingProxyType
from typing import Final

from pilotage_extproc.content.checksums import mod_97
from pilotage_extproc.content.patterns import PatternDetector
from pilotage_extproc.content.spans import Span
from pilotage_extproc.content.surroundings import stands_alone

_PATTERN: Final = r"[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]){11,40}"
_LENGTHS: Final = MappingProxyType(
    {
        **dict.fromkeys(["NO"], 15),
        **dict.fromkeys(["BE"], 16),
        **dict.fromkeys(["DK", "FI", "FO", "GL", "NL", "SD", "FK"], 18),
        **dict.fromkeys(["MK", "SI"], 19),
        **dict.fromkeys(["AT", "BA", "EE", "KZ", "LT", "LU", "XK", "MN"], 20),
        **dict.fromkeys(["CH", "CR", "HR", "LI", "LV"], 21),
        **dict.fromkeys(["BG", "BH", "DE", "GB", "GE", "IE", "ME", "RS", "VA"], 22),
        **dict.fromkeys(["AE", "GI", "IL", "IQ", "TL", "OM", "SO"], 23),
        **dict.fromkeys(["AD", "CZ", "ES", "MD", "PK", "RO", "SA", "SE", "SK", "TN", "VG"], 24),
        **dict.fromkeys(["LY", "PT", "ST"], 25),
        **dict.fromkeys(["IS", "TR"], 26),
        **dict.fromkeys(["BI", "DJ", "FR", "GR", "IT", "MC", "MR", "SM"], 27),
        **dict.fromkeys(["AL", "AZ", "BY", "CY", "DO", "GT", "HU", "LB", "NI", "PL", "SV"], 28),
        **dict.fromkeys(["BR", "EG", "PS", "QA", "UA"], 29),
        **dict.fromkeys(["JO", "KW", "MU", "YE"], 30),
        **dict.fromkeys(["MT", "SC"], 31),
        "LC": 32,
        "RU": 33,
    }
)
"""Characters, by country: SWIFT's registry."""


def _account(text: bytes, start: int, end: int) -> Span | None:
    length = _LENGTHS.get(text[start : start + 2].decode("latin-1").upper())
    if length is None:
        return None
    at, found = start, ""
    while at < end and len(found) < length:
        char = chr(text[at])
        found += char if char not in " -" else ""
        at += 1
    if len(found) < length or not stands_alone(text, start, at):
        return None
    return Span(start, at) if mod_97(found.upper()) else None


def iban() -> PatternDetector:
    """The detector."""
    return PatternDetector(
        "iban", _PATTERN, _account, hint=r"[A-Z]{2}[0-9]{2}[ -]?[A-Z0-9]", ignore_case=True
    )
